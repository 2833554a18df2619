//! Provisioning jobs.

use super::super::params::{JobConfirm, JobGet, SearchParams};
use super::super::{Context, Reply};
use crate::model::id::{self, JobId};
use crate::service::error::Error;
use crate::service::job as jobs;
use crate::store::objects;

pub(in crate::rpc) async fn get(cx: Context, params: JobGet) -> Result<Reply, Error> {
    Ok(Reply::Result(jobs::show(&cx.app, job_id(&params.job)?).await?))
}

pub(in crate::rpc) async fn search(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::JOB, params).await
}

pub(in crate::rpc) async fn confirm(cx: Context, params: JobConfirm) -> Result<Reply, Error> {
    let job = job_id(&params.job)?;
    Ok(Reply::Result(jobs::confirm(&cx.app, &cx.caller, job, params.passcode).await?))
}

fn job_id(text: &str) -> Result<JobId, Error> {
    id::from_wire(JobId::LETTER, text).map(JobId).ok_or_else(|| Error::not_found("job"))
}
