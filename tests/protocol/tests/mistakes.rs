//! Each planted mistake is found: the checker reaches a state that breaks the property named here.

use protocol_model::config::{CatalogKind, CatalogKind::Cas, CatalogKind::Conditional, Config, Mistake};
use protocol_model::invariants::{DIRTY, I1_READ, I2, I3, I4, I7, REFUSED};
use protocol_model::model::Protocol;
use protocol_model::setups;
use rstest::rstest;
use stateright::{Checker, HasDiscoveries, Model};

type Setup = fn(CatalogKind) -> Config;

// The eight of the plan.
#[rstest]
#[case::commit_without_wal_base(Mistake::CommitWithoutWalBase, setups::writers, Conditional, I2)]
#[case::without_the_folded_check(Mistake::NoFoldedCheck, setups::writers, Conditional, I2)]
#[case::without_the_folded_check_cas(Mistake::NoFoldedCheck, setups::writers, Cas, I2)]
#[case::collection_without_floor(Mistake::CollectionWithoutFloor, setups::collection, Conditional, I4)]
#[case::collection_without_floor_cas(Mistake::CollectionWithoutFloor, setups::collection, Cas, I4)]
#[case::a_fold_rebased_by_position(Mistake::FoldRebasedByPosition, setups::compactors, Conditional, I1_READ)]
#[case::a_fold_rebased_by_position_cas(Mistake::FoldRebasedByPosition, setups::compactors, Cas, I1_READ)]
#[case::own_commit_not_recognised(Mistake::OwnCommitNotRecognised, setups::collection, Conditional, I2)]
#[case::own_commit_not_recognised_full(Mistake::OwnCommitNotRecognised, setups::limits, Conditional, REFUSED)]
#[case::own_commit_not_recognised_cas(Mistake::OwnCommitNotRecognised, setups::collection, Cas, I2)]
#[case::a_rebase_forgets_dead_rows(Mistake::RebaseForgetsDeadRows, setups::compactors, Conditional, I3)]
#[case::a_rebase_forgets_dead_rows_cas(Mistake::RebaseForgetsDeadRows, setups::compactors, Cas, I3)]
#[case::dirty_mark_without_size(Mistake::DirtyWithoutSize, setups::collection, Conditional, DIRTY)]
#[case::cas_document_without_nonce(Mistake::CasDocumentWithoutNonce, setups::names, Cas, REFUSED)]
// More, where the text leaves room for them.
#[case::one_refusal_ends_the_doubt(Mistake::ForgetsAmbiguity, setups::writers, Conditional, I2)]
#[case::a_refusal_taken_for_proof(Mistake::TrustsRefusals, setups::writers, Conditional, I2)]
#[case::a_refusal_taken_for_proof_cas(Mistake::TrustsRefusals, setups::writers, Cas, I2)]
#[case::a_floor_that_falls(Mistake::FloorFalls, setups::collectors, Conditional, I4)]
#[case::floor_compared_with_the_manifest_only(Mistake::FloorOfManifestOnly, setups::collected_shards, Conditional, I4)]
#[case::a_rebase_skips_new_shards(Mistake::RebaseSkipsNewShards, setups::compactors, Conditional, I3)]
#[case::a_tombstone_ignored_by_create(Mistake::CreateIgnoresTombstone, setups::names, Conditional, I7)]
#[case::a_conflict_answered_too_early(Mistake::ConflictWithoutBurial, setups::names, Conditional, REFUSED)]
fn is_found(
    #[case] mistake: Mistake,
    #[case] setup: Setup,
    #[case] catalog: CatalogKind,
    #[case] property: &'static str,
) {
    let found = HasDiscoveries::AnyOf([property].into());
    let model = Protocol::new(setup(catalog).with(mistake));
    let checker = model.checker().finish_when(found).spawn_bfs().join();
    let trace = checker.discovery(property).expect("the mistake goes unnoticed");
    println!(
        "{mistake:?}: \"{property}\" fails after {} steps",
        trace.into_actions().len()
    );
}
