//! Devices.

use std::time::Duration;

use super::super::params::{DeviceCalculate, DeviceErase, DeviceProgram, DeviceSlots, Nothing};
use super::super::{Context, Reply};
use crate::devices::DeviceId;
use crate::otp::time::Timestamp;
use crate::service::device;
use crate::service::erase::{self, EraseRequest};
use crate::service::error::Error;
use crate::service::program::{self, ProgramRequest, Target};
use crate::service::shown::PasscodeShown;

/// Longest wait for a job in one request, in seconds.
const MOST_WAIT: f64 = 60.0;

pub(in crate::rpc) async fn list(cx: Context, _: Nothing) -> Result<Reply, Error> {
    cx.app.devices.swept().await;
    Ok(Reply::Result(device::list(&cx.app)))
}

pub(in crate::rpc) async fn slots(cx: Context, params: DeviceSlots) -> Result<Reply, Error> {
    let id = device_id(&params.device)?;
    Ok(Reply::Result(device::slots(&cx.app, &id, device::unlock(params.access_code)).await?))
}

pub(in crate::rpc) async fn program(cx: Context, params: DeviceProgram) -> Result<Reply, Error> {
    let target = match (params.token, params.product) {
        (Some(token), None) => Target::Token(token),
        (None, Some(product)) => Target::Product(product, params.attrs.repository),
        _ => return Err(Error::invalid("token", "or `product` must be given, and not both")),
    };
    let wait = Some(params.wait)
        .filter(|wait| (0.0..=MOST_WAIT).contains(wait))
        .ok_or_else(|| Error::invalid("wait", "must be 0 to 60 seconds"))?;
    let request = ProgramRequest {
        device: device_id(&params.device)?,
        slot: params.slot,
        target,
        user: params.attrs.user,
        pin: params.attrs.pin,
        touch: params.attrs.touch,
        unlock: device::unlock(params.access_code),
        wait: Duration::from_secs_f64(wait),
    };
    Ok(Reply::Result(program::program(&cx.app, &cx.caller, request).await?))
}

pub(in crate::rpc) async fn calculate(cx: Context, params: DeviceCalculate) -> Result<Reply, Error> {
    let id = device_id(&params.device)?;
    let time = params.time.map(Timestamp::from_secs);
    let unlock = device::unlock(params.access_code);
    let passcode = device::calculate(&cx.app, &cx.caller, &id, &params.slot, time, unlock).await?;
    Ok(Reply::Result(serde_json::json!(PasscodeShown { passcode: passcode.expose() })))
}

pub(in crate::rpc) async fn erase(cx: Context, params: DeviceErase) -> Result<Reply, Error> {
    let request = EraseRequest {
        device: device_id(&params.device)?,
        slot: params.slot,
        unlock: device::unlock(params.access_code),
    };
    Ok(Reply::Result(erase::erase(&cx.app, &cx.caller, request).await?))
}

fn device_id(text: &str) -> Result<DeviceId, Error> {
    text.parse().map_err(|_| Error::invalid("device", "must be an id such as `ykoath:12345678`"))
}
