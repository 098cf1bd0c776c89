use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::error::StoreError;
use crate::memory::MemoryStore;
use crate::objects::ObjectStore;
use crate::paths::ObjectName;

fn name(rest: &str) -> ObjectName {
    ObjectName::from_stored(format!("v1/{rest}"))
}

fn bytes() -> Bytes {
    Bytes::from_static(b"bytes")
}

fn faulty() -> (MemoryStore, FaultStore, FaultPlan) {
    let (memory, plan) = (MemoryStore::new(), FaultPlan::new());
    let store = FaultStore::new(Arc::new(memory.clone()), plan.clone());
    (memory, store, plan)
}

#[tokio::test]
async fn calls_are_counted_and_described() {
    let (_, store, plan) = faulty();
    store.put(&name("a"), bytes()).await.unwrap();
    store.get_range(&name("a"), 1..3).await.unwrap();
    store.delete(&[name("a"), name("b")]).await.unwrap();
    let calls: Vec<String> = plan.calls().iter().map(ToString::to_string).collect();
    assert_eq!(
        calls,
        ["1 put v1/a (5 bytes)", "2 get_range v1/a 1..3", "3 delete v1/a v1/b"]
    );
    plan.reset();
    assert_eq!(plan.count(), 0);
}

#[tokio::test]
async fn one_call_fails_before_or_after_its_effect() {
    for (when, happens) in [(When::Before, false), (When::After, true)] {
        for fault in [Fault::Unknown, Fault::Full, Fault::Throttled] {
            let (memory, store, plan) = faulty();
            plan.fail_at(2, when, fault);
            store.put(&name("a"), bytes()).await.unwrap();
            let error = store.put(&name("b"), bytes()).await.unwrap_err();
            let is_right = match fault {
                Fault::Unknown => matches!(error, StoreError::Unknown { .. }),
                Fault::Full => matches!(error, StoreError::Full { .. }),
                Fault::Throttled => matches!(error, StoreError::Throttled { .. }),
            };
            assert!(is_right, "{error}");
            assert_eq!(memory.names().contains(&name("b")), happens);
            store.put(&name("c"), bytes()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn after_a_crash_nothing_works_until_revived() {
    let (memory, store, plan) = faulty();
    plan.crash_at(1, When::After);
    assert!(store.put(&name("a"), bytes()).await.unwrap_err().is_unknown());
    assert!(plan.is_dead());
    assert!(store.put(&name("b"), bytes()).await.unwrap_err().is_unknown());
    assert!(store.get(&name("a")).await.unwrap_err().is_unknown());
    assert!(store.list("", None, 1).await.unwrap_err().is_unknown());
    assert_eq!(memory.names(), [name("a")]);
    plan.revive();
    assert_eq!(store.get(&name("a")).await.unwrap(), "bytes");
}

#[tokio::test]
async fn a_late_request_arrives_later_and_a_duplicate_twice() {
    for (also_now, seen) in [(false, 0), (true, 1)] {
        let (memory, store, plan) = faulty();
        if also_now {
            plan.duplicate_at(1, 3)
        } else {
            plan.delay_at(1, 3)
        }
        assert!(store.put(&name("a"), bytes()).await.unwrap_err().is_unknown());
        assert_eq!(memory.names().len(), seen);
        store.delete(&[name("a")]).await.unwrap();
        let _ = store.get(&name("x")).await;
        assert_eq!(memory.names().len(), 0, "not there yet");
        let _ = store.get(&name("x")).await;
        assert_eq!(memory.names(), [name("a")], "arrived at the fourth call");
    }
    let (memory, store, plan) = faulty();
    plan.delay_at(1, 100);
    assert!(store.create(&name("a"), bytes()).await.is_err());
    store.deliver_late().await;
    assert_eq!(memory.names(), [name("a")]);
}

#[tokio::test]
async fn a_full_disk_still_reads_and_deletes() {
    let (memory, store, plan) = faulty();
    let etag = store.create(&name("a"), bytes()).await.unwrap();
    plan.set_disk_full(true);
    assert!(matches!(
        store.put(&name("b"), bytes()).await,
        Err(StoreError::Full { .. })
    ));
    assert!(matches!(
        store.create(&name("b"), bytes()).await,
        Err(StoreError::Full { .. })
    ));
    assert!(matches!(
        store.replace(&name("a"), bytes(), &etag).await,
        Err(StoreError::Full { .. })
    ));
    assert_eq!(store.get(&name("a")).await.unwrap(), "bytes");
    store.delete(&[name("a")]).await.unwrap();
    assert!(memory.names().is_empty());
    plan.set_disk_full(false);
    store.put(&name("b"), bytes()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_take_as_long_as_the_plan_says() {
    let (_, store, plan) = faulty();
    plan.set_latency(Duration::from_millis(5));
    plan.set_latency_of("put", Duration::from_millis(30));
    let start = tokio::time::Instant::now();
    store.put(&name("a"), bytes()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(30));
    store.get(&name("a")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(35));
}
