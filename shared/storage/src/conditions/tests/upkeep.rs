use rstest::rstest;

use super::*;

#[rstest]
#[case::uuid(OTHER, Some(manifest(60)), 0, Refusal::OtherUuid)]
#[case::manifest(UUID, Some(manifest(59)), 0, Refusal::ManifestMoved)]
#[case::no_manifest(UUID, None, 0, Refusal::ManifestMoved)]
#[case::tail(UUID, Some(manifest(60)), 1, Refusal::TailLength)]
fn clear_dirty_clauses(
    #[case] uuid: IndexUuid,
    #[case] manifest: Option<ManifestRef>,
    #[case] tail: usize,
    #[case] refusal: Refusal,
) {
    let mut record = record();
    record.wal.truncate(tail);
    assert_eq!(
        apply_clear_dirty(&record, &ClearDirty { uuid, manifest }).unwrap_err(),
        refusal
    );
}

#[test]
fn clear_dirty_takes_the_mark_away() {
    let clear = ClearDirty {
        uuid: UUID,
        manifest: Some(manifest(60)),
    };
    let empty = IndexRecord {
        wal: Vec::new(),
        tail_kib: 0,
        ..record()
    };
    let clean = apply_clear_dirty(&empty, &clear).unwrap();
    assert_eq!(
        clean,
        IndexRecord {
            dirty_since_ms: None,
            ..empty
        }
    );
    assert_eq!(apply_clear_dirty(&clean, &clear).unwrap_err(), Refusal::AlreadyDone);
}

#[test]
fn floor_only_rises() {
    let raised = apply_raise_floor(&record(), UUID, ulid(51)).unwrap();
    assert_eq!(
        raised,
        IndexRecord {
            floor: ulid(51),
            ..record()
        }
    );
    for lower in [50, 49, 0] {
        assert_eq!(
            apply_raise_floor(&record(), UUID, ulid(lower)).unwrap_err(),
            Refusal::AlreadyDone
        );
    }
    assert_eq!(
        apply_raise_floor(&record(), OTHER, ulid(51)).unwrap_err(),
        Refusal::OtherUuid
    );
}

fn lease(holder: &str, until_ms: u64) -> Lease {
    Lease {
        holder: holder.to_owned(),
        until_ms,
        attempts: 2,
        retry_at_ms: 9,
    }
}

#[rstest]
#[case::free(None, None, true)]
#[case::own(Some(lease("a", 500)), Some(lease("a", 500)), true)]
#[case::expired(Some(lease("b", 100)), Some(lease("b", 100)), true)]
#[case::held(Some(lease("b", 101)), Some(lease("b", 101)), false)]
#[case::changed(Some(lease("a", 500)), Some(lease("a", 499)), false)]
#[case::taken(Some(lease("b", 50)), None, false)]
#[case::gone(None, Some(lease("a", 500)), false)]
fn lease_clauses(#[case] current: Option<Lease>, #[case] expected: Option<Lease>, #[case] is_taken: bool) {
    let record = IndexRecord {
        lease: current,
        ..record()
    };
    let set = SetLease {
        uuid: UUID,
        holder: "a".to_owned(),
        now_ms: 100,
        until_ms: 600,
        attempts: 3,
        retry_at_ms: 70,
        expected,
    };
    let outcome = apply_set_lease(&record, &set);
    if !is_taken {
        assert_eq!(outcome.unwrap_err(), Refusal::LeaseHeld);
        return;
    }
    let next = outcome.unwrap();
    let wanted = Lease {
        holder: "a".to_owned(),
        until_ms: 600,
        attempts: 3,
        retry_at_ms: 70,
    };
    assert_eq!(
        next,
        IndexRecord {
            lease: Some(wanted),
            ..record
        }
    );
    // A repeated request finds what it asked for.
    let stranger = SetLease {
        uuid: OTHER,
        ..set.clone()
    };
    assert_eq!(apply_set_lease(&next, &stranger).unwrap_err(), Refusal::OtherUuid);
    if next.lease != set.expected {
        assert_eq!(apply_set_lease(&next, &set).unwrap_err(), Refusal::AlreadyDone);
    }
}
