//! An operation as a value: all code around it is compiled once, for 22 functions, and a function links what its
//! operation calls.

use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use model::Operation;
use service::ops::Perform;
use service::{Answer, Context, Input};
use storage::aws::Aws;
use storage::{Doorbell, ObjectStore};

use crate::open::{self, OpenError};
use crate::settings::Settings;

type OpenedObjects<'a> = BoxFuture<'a, Result<Arc<dyn ObjectStore>, OpenError>>;
type OpenedDoorbell = Result<Arc<dyn Doorbell>, OpenError>;
type OpenObjects = for<'a> fn(&'a Settings, &'a Aws) -> OpenedObjects<'a>;
type OpenDoorbell = fn(&Settings, &Aws) -> OpenedDoorbell;

/// One operation, and how the ports that it calls are opened.
#[derive(Debug, Clone, Copy)]
pub struct Performer {
    /// Which operation.
    pub operation: Operation,
    pub(crate) perform: for<'a> fn(&'a Arc<Context>, &'a Input) -> Answer<'a>,
    pub(crate) open_objects: OpenObjects,
    pub(crate) open_doorbell: OpenDoorbell,
}

impl Performer {
    /// The performer of `O`. Only the functions that are named here are linked: hence names, not branches.
    pub fn of<O: Perform>() -> Self {
        let (open_objects, open_doorbell): (OpenObjects, OpenDoorbell) = if const { O::NEEDS.doorbell() } {
            (objects, open::doorbell)
        } else if const { O::NEEDS.objects() } {
            (objects, no_doorbell)
        } else {
            (no_objects, no_doorbell)
        };
        Self {
            operation: O::OPERATION,
            perform: O::run,
            open_objects,
            open_doorbell,
        }
    }
}

fn objects<'a>(settings: &'a Settings, aws: &'a Aws) -> OpenedObjects<'a> {
    Box::pin(open::objects(settings, aws))
}

fn no_objects<'a>(_: &'a Settings, _: &'a Aws) -> OpenedObjects<'a> {
    Box::pin(ready(Ok(open::no_objects())))
}

fn no_doorbell(_: &Settings, _: &Aws) -> OpenedDoorbell {
    Ok(open::no_doorbell())
}
