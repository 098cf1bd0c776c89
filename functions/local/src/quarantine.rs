//! `genai-vectors quarantine`: gives up the one WAL entry that cannot be read, so that its index answers again
//! (DESIGN section 4, "Dirty mark"). For a directory that no server is running on; the servers of a bucket may go on.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use clap::Args;
use format::record::WalEntry;
use model::{BucketName, IndexName};
use service::indexing::quarantine::{self, Health};
use service::indexing::{IndexingError, Outcome};
use service::{Config, Context};
use storage::local::OpenError;
use storage::{IndexPath, paths};

use crate::database::{self, Store, StoreRefused};
use crate::place::{Place, PlaceArgs};

/// Flags of `genai-vectors quarantine`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    /// Vector bucket.
    bucket: BucketName,
    /// Index in the bucket.
    index: IndexName,
    #[command(flatten)]
    place: PlaceArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Give up an entry although it can be read, or although nobody knows whether it can: the first one of unknown
    /// health, else the oldest.
    #[arg(long)]
    force: bool,
}

/// The entry to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suspect {
    entry: WalEntry,
    /// Why, as a sentence's end: `entry X ...`.
    verdict: String,
    /// Entries of the tail that are older.
    older: usize,
    /// Entries of the tail that are newer.
    newer: usize,
    /// Newer ones that cannot be read either.
    also_unreadable: usize,
}

/// Finds the entry, asks, and gives it up.
///
/// # Errors
/// A sentence for the operator: why nothing was given up.
pub(crate) fn run(args: &QuarantineArgs) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the async runtime: {error}"))?;
    runtime.block_on(async {
        let place = Place::of(&args.place, crate::environment)?;
        let ctx = open(&place).await?;
        give_up(&ctx, args, &place).await
    })
}

async fn open(place: &Place) -> Result<Arc<Context>, String> {
    // Looked at before it is locked: a mistyped name must not become a database.
    database::require_existing(place).await?;
    let store = Store::open(place).await.map_err(|error| match error {
        StoreRefused::Directory(OpenError::Locked { .. }) => {
            format!("{error}: stop it, then run this command again, then start it")
        }
        error => error.to_string(),
    })?;
    let objects = Arc::clone(&store.objects);
    let (context, _rings) = store.serve(objects, None, Config::default()).await?;
    Ok(Arc::new(context))
}

async fn give_up(ctx: &Arc<Context>, args: &QuarantineArgs, place: &Place) -> Result<(), String> {
    let path = IndexPath {
        bucket: args.bucket.clone(),
        index: args.index.clone(),
    };
    let name = format!("{}/{}", args.bucket, args.index);
    let failed = |error: IndexingError| format!("{name}: {error}");
    let tail = quarantine::examine(ctx, &path).await.map_err(failed)?;
    let tail = tail.ok_or_else(|| format!("index {name} does not exist in {place}"))?;
    let suspect = choose(&tail, args.force).map_err(|reason| format!("{name}: {reason}"))?;
    describe(ctx, &path, &suspect).await?;
    if !args.yes && !is_confirmed(&suspect) {
        return Err("nothing was changed".to_owned());
    }
    let id = suspect.entry.id;
    let moved = || format!("{name}: entry {id} is no longer in the tail; nothing was given up");
    if !quarantine::fold_older(ctx, &path, id).await.map_err(failed)? {
        return Err(moved());
    }
    match quarantine::quarantine(ctx, &path, id).await.map_err(failed)? {
        Outcome::Committed { .. } => {}
        Outcome::Nothing | Outcome::Dropped | Outcome::Gone => return Err(moved()),
    }
    println!("gave up entry {id} of {name}");
    if suspect.also_unreadable > 0 {
        let more = suspect.also_unreadable;
        println!("{more} more cannot be read: run the same command again");
    }
    Ok(())
}

/// The oldest entry that cannot be read; with `force` the first that is not known to be readable, else the oldest.
fn choose(tail: &[(WalEntry, Health)], force: bool) -> Result<Suspect, String> {
    let first = |wanted: fn(&Health) -> bool| tail.iter().position(|(_, health)| wanted(health));
    let unreadable = first(|health| matches!(health, Health::Unreadable { .. }));
    let unknown = first(|health| matches!(health, Health::Unknown { .. }));
    let position = match (unreadable, unknown) {
        _ if tail.is_empty() => return Err("the tail is empty: there is nothing to give up".to_owned()),
        _ if force => unreadable.into_iter().chain(unknown).min().unwrap_or(0),
        // What is older is folded first, so all of it must be readable.
        (Some(position), unknown) if unknown.is_none_or(|unknown| position < unknown) => position,
        _ => return Err(refusal(tail)),
    };
    let Some((entry, health)) = tail.get(position) else {
        return Err(refusal(tail));
    };
    let newer = tail.get(position + 1..).unwrap_or_default();
    let is_unreadable = |health: &Health| matches!(health, Health::Unreadable { .. });
    Ok(Suspect {
        entry: *entry,
        verdict: verdict(health),
        older: position,
        newer: newer.len(),
        also_unreadable: newer.iter().filter(|(_, health)| is_unreadable(health)).count(),
    })
}

fn refusal(tail: &[(WalEntry, Health)]) -> String {
    let unknown = tail.iter().find(|(_, health)| matches!(health, Health::Unknown { .. }));
    match unknown {
        Some((entry, health)) => format!(
            "entry {} {}; mend that first (--force gives the entry up all the same)",
            entry.id,
            verdict(health)
        ),
        None => format!(
            "all {} entries of the tail can be read: there is nothing to give up (--force gives up the oldest all the same)",
            tail.len()
        ),
    }
}

fn verdict(health: &Health) -> String {
    match health {
        Health::Readable => "can be read".to_owned(),
        Health::Unreadable { reason } => format!("cannot be read: {reason}"),
        Health::Unknown { reason } => format!("could not be looked at: {reason}"),
    }
}

async fn describe(ctx: &Context, path: &IndexPath, suspect: &Suspect) -> Result<(), String> {
    let record = ctx.ports.catalog.read_record(path).await;
    let record = record.map_err(|error| error.to_string())?;
    let entry = suspect.entry;
    println!(
        "entry {} ({} rows, {} KiB) {}",
        entry.id, entry.rows, entry.kib, suspect.verdict
    );
    if let Some(record) = record {
        let object = paths::wal(record.uuid, entry.id);
        println!("its object {object} stays until garbage collection: copy it now to look into it later");
    }
    println!("giving it up undoes its puts and deletes: older versions of their keys are back");
    println!(
        "{} older entries are folded first, {} newer ones stay",
        suspect.older, suspect.newer
    );
    Ok(())
}

/// Whether the operator says yes; the end of the input is a no.
fn is_confirmed(suspect: &Suspect) -> bool {
    print!("give up entry {}? [y/N] ", suspect.entry.id);
    // A question that cannot be shown is answered by nobody.
    if std::io::stdout().flush().is_err() {
        return false;
    }
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use model::{Ulid, WalId};

    use super::*;

    fn tail(healths: &str) -> Vec<(WalEntry, Health)> {
        let entry = |n: usize| WalEntry::new(WalId(Ulid::from_parts(n as u64 + 1, 0)), 1, 1);
        let reason = || "why".to_owned();
        let health = |letter| match letter {
            'r' => Health::Readable,
            'u' => Health::Unreadable { reason: reason() },
            _ => Health::Unknown { reason: reason() },
        };
        let healths = healths.chars().map(health);
        healths.enumerate().map(|(n, health)| (entry(n), health)).collect()
    }

    #[test]
    fn which_entry_is_given_up() {
        for (healths, force, chosen) in [
            ("u", false, Some(0)),
            ("urru", false, Some(0)),
            ("rrur", false, Some(2)),
            ("u?", false, Some(0)),
            // What is older would have to be folded, and nobody knows whether it can be.
            ("?u", false, None),
            ("?", false, None),
            ("rr", false, None),
            ("", false, None),
            ("?u", true, Some(0)),
            ("r?", true, Some(1)),
            // Never a readable one while another one is the reason.
            ("rur", true, Some(1)),
            ("rr", true, Some(0)),
            ("", true, None),
        ] {
            let chosen_now = choose(&tail(healths), force).ok().map(|suspect| suspect.older);
            assert_eq!(chosen_now, chosen, "{healths} {force}");
        }
        assert_eq!(choose(&tail("urruu"), false).unwrap().also_unreadable, 2);
    }

    #[test]
    fn a_refusal_says_why() {
        let refused = |healths| choose(&tail(healths), false).unwrap_err();
        assert!(refused("").contains("empty"));
        assert!(refused("rr").contains("all 2 entries of the tail can be read"));
        assert!(refused("r?").contains("could not be looked at: why"));
    }
}
