use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::clock::ManualClock;

fn source(now_ms: u64) -> (Ids, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now_ms));
    (Ids::new(clock.clone(), Arc::new(SeededRandom::new(7))), clock)
}

#[rstest]
#[case::nil(Ulid::NIL, "00000000000000000000000000")]
#[case::one(Ulid::from_parts(0, 1), "00000000000000000000000001")]
#[case::specification(Ulid::from_parts(1_469_918_176_385, 0), "01ARYZ6S410000000000000000")]
#[case::largest(Ulid::from_bytes([0xFF; 16]), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ")]
fn ulid_text(#[case] ulid: Ulid, #[case] text: &str) {
    assert_eq!(ulid.to_string(), text);
    assert_eq!(text.parse::<Ulid>().unwrap(), ulid);
    assert_eq!(serde_json::to_string(&ShardId(ulid)).unwrap(), format!("\"{text}\""));
    assert_eq!(
        serde_json::from_str::<ShardId>(&format!("\"{text}\"")).unwrap(),
        ShardId(ulid)
    );
}

#[rstest]
#[case::empty("")]
#[case::short("0000000000000000000000000")]
#[case::long("000000000000000000000000000")]
#[case::lower("01aryz6s410000000000000000")]
#[case::letter_outside("0000000000000000000000000U")]
#[case::too_large("80000000000000000000000000")]
#[case::umlaut("0000000000000000000000000\u{e4}")]
fn ulid_text_refused(#[case] text: &str) {
    assert!(text.parse::<Ulid>().is_err());
}

#[rstest]
#[case::canonical("67e55044-10b1-426f-9247-bb680e5fe0c8", true)]
#[case::upper("67E55044-10B1-426F-9247-BB680E5FE0C8", false)]
#[case::simple("67e5504410b1426f9247bb680e5fe0c8", false)]
#[case::braced("{67e55044-10b1-426f-9247-bb680e5fe0c8}", false)]
#[case::short("67e55044", false)]
fn uuid_text(#[case] text: &str, #[case] legal: bool) {
    assert_eq!(text.parse::<IndexUuid>().is_ok(), legal);
    assert_eq!(
        serde_json::from_str::<BucketUuid>(&format!("\"{text}\"")).is_ok(),
        legal
    );
    if let Ok(uuid) = text.parse::<IndexUuid>() {
        assert_eq!(uuid.to_string(), text);
        assert_eq!(OwnerUuid::from(uuid).to_string(), text);
        assert_eq!(serde_json::to_string(&uuid).unwrap(), format!("\"{text}\""));
    }
}

#[test]
fn ulids_follow_the_clock() {
    let (ids, clock) = source(5_000);
    let first = ids.ulid(Ulid::NIL);
    clock.advance(Duration::from_millis(10));
    let second = ids.ulid(Ulid::NIL);
    assert_eq!((first.timestamp_ms(), second.timestamp_ms()), (5_000, 5_010));
}

#[test]
fn ulids_pass_a_floor_in_the_future() {
    let (ids, _) = source(5_000);
    let floor = Ulid::from_parts(9_000, u128::MAX);
    let ulid = ids.ulid(floor);
    assert!(ulid > floor);
    assert_eq!(ulid.timestamp_ms(), 9_001);
}

#[test]
fn ulids_rise_when_the_clock_goes_back() {
    let (ids, clock) = source(5_000);
    let first = ids.ulid(Ulid::NIL);
    clock.set(1_000);
    assert!(ids.clone().ulid(Ulid::NIL) > first, "clones share one sequence");
}

#[test]
fn ulids_of_one_millisecond_rise_across_threads() {
    let (ids, _) = source(5_000);
    let drawn: Vec<Vec<Ulid>> = std::thread::scope(|scope| {
        let draw = || (0..1_000).map(|_| ids.ulid(Ulid::NIL)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(drawn.iter().all(|ulids| ulids.is_sorted_by(|a, b| a < b)));
    let distinct: HashSet<Ulid> = drawn.into_iter().flatten().collect();
    assert_eq!(distinct.len(), 4_000);
}

#[test]
fn uuids_are_of_version_four() {
    let (ids, _) = source(0);
    let uuid = ids.uuid();
    assert_eq!(uuid.get_version_num(), 4);
    assert_ne!(uuid, ids.uuid());
    assert_ne!(ids.nonce(), ids.nonce());
}

#[test]
fn randomness_repeats_only_when_seeded() {
    let draw = |random: &dyn Randomness| [random.next_u128(), random.next_u128()];
    assert_eq!(draw(&SeededRandom::new(1)), draw(&SeededRandom::new(1)));
    assert_ne!(draw(&SeededRandom::new(1)), draw(&SeededRandom::new(2)));
    let (one, other) = (OsRandom::new(), OsRandom::default());
    assert_ne!(draw(&one), draw(&other));
    assert_ne!(draw(&one), draw(&one));
}

#[test]
fn os_randomness_has_no_stuck_bits() {
    let random = OsRandom::new();
    let mut ones = [0_u32; 128];
    for _ in 0..2_000 {
        let drawn = random.next_u128();
        ones.iter_mut()
            .enumerate()
            .for_each(|(bit, count)| *count += (drawn >> bit & 1) as u32);
    }
    // 1,000 expected, standard deviation 22: nine of them.
    assert!(ones.iter().all(|count| (800..=1_200).contains(count)), "{ones:?}");
}

proptest! {
    #[test]
    fn ulids_round_trip_and_sort_alike(a in any::<u128>(), b in any::<u128>()) {
        let (a, b) = (Ulid::from_bytes(a.to_be_bytes()), Ulid::from_bytes(b.to_be_bytes()));
        prop_assert_eq!(a.to_string().parse::<Ulid>().unwrap(), a);
        prop_assert_eq!(Ulid::from_bytes(a.to_bytes()), a);
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }

    #[test]
    fn ulids_rise_and_pass_every_floor(steps in prop::collection::vec((0_u64..100, 0_u64..120), 1..50)) {
        let (ids, clock) = source(0);
        let mut last = Ulid::NIL;
        for (now, floor) in steps {
            clock.set(now);
            let floor = Ulid::from_parts(floor, u128::MAX);
            let ulid = ids.ulid(floor);
            prop_assert!(ulid > last && ulid > floor);
            last = ulid;
        }
    }
}
