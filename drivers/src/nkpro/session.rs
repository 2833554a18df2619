//! Who may write and who may read passcodes: PINs, temporary passwords, attempts.

use super::commands::authentication::{
    Authorize, ChangeAdminPin, FactoryReset, FirstAuthenticate, RetryCount, SendNewPassword, SendPassword,
    UserAuthenticate, UserAuthorize,
};
use super::features::Features;
use super::frame::Request;
use super::link::Link;
use super::pin::{Pins, Temporary, invalid};
use crate::error::Error;
use crate::token::{Attendant, LockCode, SecretBytes, Unattended};

const ADMIN_BLOCKED: &str = "only a factory reset of its OpenPGP card helps, which erases everything on it";
const USER_BLOCKED: &str = "the admin PIN sets a new user PIN: `nitrocli pin unblock`";

/// A PIN that the device took, and what stands in for it.
struct Session {
    pin: SecretBytes,
    /// `None` once it is used up.
    temporary: Option<Temporary>,
}

/// Both sessions, each open or not.
pub(super) struct Sessions {
    features: Features,
    admin: Option<Session>,
    user: Option<Session>,
}

/// Whose PIN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Admin,
    User,
}

impl Sessions {
    pub(super) fn new(features: Features) -> Self {
        Self { features, admin: None, user: None }
    }

    /// Presents the PINs of an access code, each once. A refusal closes both sessions.
    pub(super) fn unlock(&mut self, link: &mut Link, code: &LockCode) -> Result<(), Error> {
        self.end();
        // What it cannot be is not sent: a PIN longer than its field would be cut.
        let pins = Pins::parse(code, super::pin::FIELD)?;
        let admin = pins.admin.map(|pin| authenticate(link, Who::Admin, pin, &Unattended)).transpose()?;
        let user = pins.user.map(|pin| authenticate(link, Who::User, pin, &Unattended)).transpose()?;
        (self.admin, self.user) = (admin, user);
        Ok(())
    }

    pub(super) fn end_admin(&mut self) {
        self.admin = None;
    }

    pub(super) fn end_user(&mut self) {
        self.user = None;
    }

    pub(super) fn end(&mut self) {
        self.end_admin();
        self.end_user();
    }

    /// The device does not know the admin's temporary password any more. Whether there is a PIN to make another by.
    pub(super) fn lose_admin_password(&mut self) -> bool {
        self.admin.as_mut().map(|session| session.temporary = None).is_some()
    }

    /// The same for the user's.
    pub(super) fn lose_user_password(&mut self) -> bool {
        self.user.as_mut().map(|session| session.temporary = None).is_some()
    }

    pub(super) fn is_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// What stands in for the admin PIN.
    ///
    /// # Errors
    /// [`Error::Locked`] if it was not given.
    pub(super) fn admin_password(
        &mut self,
        link: &mut Link,
        attendant: &dyn Attendant,
    ) -> Result<Temporary, Error> {
        let session = self.admin.as_mut().ok_or(Error::Locked)?;
        fresh(link, Who::Admin, session, self.features, attendant)
    }

    /// What stands in for the user PIN, if it was given.
    pub(super) fn user_password(
        &mut self,
        link: &mut Link,
        attendant: &dyn Attendant,
    ) -> Result<Option<Temporary>, Error> {
        let Some(session) = self.user.as_mut() else { return Ok(None) };
        fresh(link, Who::User, session, self.features, attendant).map(Some)
    }

    /// Lets one request pass that writes. The next thing sent must be that request.
    pub(super) fn authorize(
        &mut self,
        link: &mut Link,
        request: &Request,
        attendant: &dyn Attendant,
    ) -> Result<(), Error> {
        let temporary = self.admin_password(link, attendant)?;
        link.call(&Authorize { crc: request.crc(), temporary: &temporary }, attendant).map_err(lost)
    }

    /// Lets one request pass that reads a passcode, if the user PIN was given.
    pub(super) fn authorize_user(
        &mut self,
        link: &mut Link,
        request: &Request,
        attendant: &dyn Attendant,
    ) -> Result<(), Error> {
        let Some(temporary) = self.user_password(link, attendant)? else { return Ok(()) };
        link.call(&UserAuthorize { crc: request.crc(), temporary: &temporary }, attendant).map_err(lost)
    }

    /// Changes the admin PIN. If no answer comes the device may have either, so both are forgotten.
    pub(super) fn change_admin_pin(&mut self, link: &mut Link, new: SecretBytes) -> Result<(), Error> {
        let session = self.admin.as_mut().ok_or(Error::Locked)?;
        let left = check_attempts(link, Who::Admin, &Unattended)?;
        let old = &session.pin;
        let result = if self.features.storage {
            link.call(&SendPassword { pin: old }, &Unattended).and_then(|()| {
                link.call(&SendNewPassword { pin: &new }, &Unattended).map_err(|error| match error {
                    // The old one was right just now.
                    Error::WrongLockCode { .. } => invalid("the card does not take it as a new PIN"),
                    error => error,
                })
            })
        } else {
            link.call(&ChangeAdminPin { old, new: &new }, &Unattended)
        };
        match result {
            Ok(()) => session.pin = new,
            // The device looked at the new PIN, and the old one stays.
            Err(Error::Refused { .. } | Error::Invalid { .. }) => {}
            Err(_) => self.admin = None,
        }
        result.map_err(|error| counted(error, left))
    }

    /// Empties the device. Once that was sent, both sessions are over.
    pub(super) fn factory_reset(&mut self, link: &mut Link, attendant: &dyn Attendant) -> Result<(), Error> {
        let session = self.admin.as_ref().ok_or(Error::Locked)?;
        let left = check_attempts(link, Who::Admin, attendant)?;
        let result = link.call(&FactoryReset { pin: &session.pin }, attendant);
        if !matches!(result, Err(Error::Cancelled)) {
            self.end();
        }
        result.map_err(|error| counted(error, left))
    }
}

/// The temporary password of a session; a new one, by the PIN, if the last was used up.
fn fresh(
    link: &mut Link,
    who: Who,
    session: &mut Session,
    features: Features,
    attendant: &dyn Attendant,
) -> Result<Temporary, Error> {
    let temporary = match session.temporary.take() {
        Some(temporary) => temporary,
        None => {
            let renewed = authenticate(link, who, session.pin.clone(), attendant)?;
            renewed.temporary.ok_or(Error::Locked)?
        }
    };
    if !features.uses_password_up() {
        session.temporary = Some(temporary.clone());
    }
    Ok(temporary)
}

/// Presents a PIN, once, unless that could block the token.
fn authenticate(
    link: &mut Link,
    who: Who,
    pin: SecretBytes,
    attendant: &dyn Attendant,
) -> Result<Session, Error> {
    let left = check_attempts(link, who, attendant)?;
    let temporary = Temporary::random()?;
    let result = match who {
        Who::Admin => link.call(&FirstAuthenticate { pin: &pin, temporary: &temporary }, attendant),
        Who::User => link.call(&UserAuthenticate { pin: &pin, temporary: &temporary }, attendant),
    };
    result.map_err(|error| counted(error, left))?;
    Ok(Session { pin, temporary: Some(temporary) })
}

/// How many attempts are left, if that are enough.
fn check_attempts(link: &mut Link, who: Who, attendant: &dyn Attendant) -> Result<u8, Error> {
    let left = match who {
        Who::Admin => link.call(&RetryCount::<0x09>, attendant)?,
        Who::User => link.call(&RetryCount::<0x0F>, attendant)?,
    };
    match (left, who) {
        (0, Who::Admin) => Err(Error::Blocked { way_out: ADMIN_BLOCKED }),
        (0, Who::User) => Err(Error::Blocked { way_out: USER_BLOCKED }),
        (1, _) => Err(invalid(
            "one attempt is left, and a wrong PIN would block the token: the last one is not spent from here. \
             The right PIN in the maker's program brings the others back",
        )),
        _ => Ok(left),
    }
}

/// A wrong temporary password is no wrong PIN: somebody has set another one.
fn lost(error: Error) -> Error {
    match error {
        Error::WrongLockCode { .. } => Error::Locked,
        error => error,
    }
}

/// Adds to a refused PIN how many attempts are left.
fn counted(error: Error, before: u8) -> Error {
    match error {
        Error::WrongLockCode { .. } => Error::WrongLockCode { attempts_left: before.checked_sub(1) },
        error => error,
    }
}
