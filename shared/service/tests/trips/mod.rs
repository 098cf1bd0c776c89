//! Round trips: what each operation sends to the catalog, to the objects and to the queue, and what of it has to wait
//! for what.
//!
//! | module | what it holds |
//! |---|---|
//! | `stage` | a database behind 5 ms a catalog request and 30 ms an object request, in virtual time |
//! | `plays` | what is measured |
//! | `expected` | what each operation may send |
//! | `report` | the table, and the same for machines |

pub mod expected;
pub mod plays;
pub mod report;
pub mod stage;

use model::Operation;
use plays::Measured;
use stage::{InMemory, Place};
use wire::Caller;

/// Everything that is measured, in memory and in virtual time.
pub async fn measure_everything() -> Vec<Measured> {
    let place = || Box::new(InMemory::new()) as Box<dyn Place>;
    let mut measured = Vec::new();
    for operation in Operation::ALL {
        measured.extend(plays::operation(place(), &crate::desk::owner(), operation).await);
    }
    for operation in [Operation::PutVectors, Operation::QueryVectors] {
        measured.extend(plays::operation(place(), &Caller::anonymous_owner(), operation).await);
    }
    measured.extend(plays::queries(place).await);
    measured.extend(plays::indexing(place).await);
    measured
}
