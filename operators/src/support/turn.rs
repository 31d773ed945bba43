//! One writer at a time: runs of several processes that add to the same files wait for each other.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    time::Duration,
};

use pipectl_engine::operator::{TaskContext, TaskError};

use super::files::io_error;

/// How long to wait before the next look.
const PAUSE: Duration = Duration::from_millis(20);

/// Nobody else who asks for it adds to files in this directory. It ends when this is dropped, or the process is gone.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

/// Waits for the turn to change files in `directory`, which is made when it is not there.
///
/// # Errors
/// When the directory cannot be opened, or the attempt is cancelled.
pub(crate) async fn turn(
    context: &TaskContext,
    directory: &Path,
    shown: &str,
) -> Result<Turn, TaskError> {
    let fail = |error| io_error("write", shown, error);
    fs::create_dir_all(directory).map_err(fail)?;
    let lock = File::open(directory).map_err(fail)?;
    let mut waits = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Turn { _lock: lock }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                // Some network file systems know no locks.
                context.log.warn(format!(
                    "{shown}: other runs are not kept from writing at the same time: {error}"
                ));
                return Ok(Turn { _lock: lock });
            }
        }
        if !waits {
            waits = true;
            context
                .log
                .info(format!("{shown}: waits for another that writes there"));
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = context.cancel.cancelled() => {
                return Err(TaskError::external("the attempt was stopped while it waited for its turn"));
            }
        }
    }
}
