//! Every configuration, explored to the end without a mistake: all invariants hold in all states, and everything
//! that has to be possible is.

use std::collections::BTreeSet;

use protocol_model::config::{CatalogKind, Config, Mistake};
use protocol_model::model::Protocol;
use protocol_model::role::Role;
use protocol_model::setups;
use rstest::rstest;
use stateright::{Checker, Model};

type Setup = fn(CatalogKind) -> Config;

/// Explores a configuration to the end and returns how many states there are.
fn explore(config: Config) -> usize {
    let checker = Protocol::new(config).checker().spawn_bfs().join();
    assert!(checker.is_done());
    checker.assert_properties();
    checker.unique_state_count()
}

#[rstest]
#[case::writers(setups::writers)]
#[case::limits(setups::limits)]
#[case::indexers(setups::indexers)]
#[case::compactors(setups::compactors)]
#[case::collection(setups::collection)]
#[case::collected_shards(setups::collected_shards)]
#[case::collectors(setups::collectors)]
#[case::deletion(setups::deletion)]
#[case::purge(setups::purge)]
#[case::names(setups::names)]
fn i6_invariants_hold_under_all_interleavings(
    #[case] setup: Setup,
    #[values(CatalogKind::Conditional, CatalogKind::Cas)] catalog: CatalogKind,
) {
    let config = setup(catalog);
    let name = config.name;
    println!("{name}, {catalog:?}: {} states", explore(config));
}

/// A writer may take a refusal for proof, as long as nothing between it and the catalog repeats requests.
#[rstest]
#[case::writers(setups::writers)]
#[case::limits(setups::limits)]
#[case::deletion(setups::deletion)]
fn a_refusal_is_proof_where_nothing_is_repeated(
    #[case] setup: Setup,
    #[values(CatalogKind::Conditional, CatalogKind::Cas)] catalog: CatalogKind,
) {
    let config = Config {
        repeats: 0,
        ..setup(catalog).with(Mistake::TrustsRefusals)
    };
    explore(config);
}

fn kind(role: &Role) -> char {
    match role {
        Role::Writer(_) => 'W',
        Role::Indexer(indexer) if indexer.compacts() => 'C',
        Role::Indexer(_) => 'I',
        Role::Collector(_) => 'G',
        Role::Owner(_) => 'D',
        Role::Reader(_) => 'R',
    }
}

#[test]
fn every_pair_of_roles_meets() {
    let mut met = BTreeSet::new();
    for config in setups::all() {
        let kinds: Vec<char> = config.roles.iter().map(kind).collect();
        for (n, one) in kinds.iter().enumerate() {
            for other in &kinds[n + 1..] {
                met.insert((*one.min(other), *one.max(other)));
            }
        }
    }
    let all: Vec<char> = "CDGIRW".chars().collect();
    for (n, one) in all.iter().enumerate() {
        for other in &all[n..] {
            // Two readers share nothing that either changes.
            assert!(
                met.contains(&(*one, *other)) || (*one, *other) == ('R', 'R'),
                "{one} and {other} never meet"
            );
        }
    }
}
