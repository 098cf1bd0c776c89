use protocol_model::{model::Protocol, setups, config::Mistake::*, config::*};
use stateright::{Checker, Model, Expectation};
fn main() {
    let all = [CommitWithoutWalBase, NoFoldedCheck, OwnCommitNotRecognised, ForgetsAmbiguity, TrustsRefusals, CollectionWithoutFloor, FloorFalls, FloorOfManifestOnly, FoldRebasedByPosition, RebaseSkipsNewShards, RebaseForgetsDeadRows, DirtyWithoutSize, CasDocumentWithoutNonce, CreateIgnoresTombstone, ConflictWithoutBurial];
    let want = std::env::args().nth(1).unwrap_or_default();
    let show = std::env::args().nth(2).is_some();
    for m in all {
        if !format!("{m:?}").contains(&want) { continue; }
        println!("== {m:?}");
        for mut config in setups::all() { if std::env::var("NOREP").is_ok() { config.repeats = 0; }
            let (name, k) = (config.name, config.catalog);
            let t = std::time::Instant::now();
            let checker = Protocol::new(config.with(m)).checker().target_state_count(1_500_000)
              .finish_when(stateright::HasDiscoveries::AnyFailures).spawn_bfs().join();
            let mut f: Vec<_> = checker.model().properties().into_iter().filter(|p| p.expectation == Expectation::Always).filter_map(|p| checker.discovery(p.name).map(|d| (p.name, d))).collect();
            f.sort_by_key(|x| x.1.clone().into_actions().len());
            for (p, d) in f {
                println!("   {name} {k:?}: {p} in {} steps, {} states {:?}", d.clone().into_actions().len(), checker.unique_state_count(), t.elapsed());
                if show { for a in d.into_actions() { println!("      {a:?}"); } }
            }
        }
    }
}
