use protocol_model::{model::Protocol, setups};
use stateright::{Checker, Model};
fn main() {
    let want = std::env::args().nth(1).unwrap_or_default();
    let kind = std::env::args().nth(2).unwrap_or_default();
    let cap: usize = std::env::args().nth(3).and_then(|s| s.parse().ok()).unwrap_or(3_000_000);
    for config in setups::all() {
        let k = format!("{:?}", config.catalog);
        if !config.name.contains(&want) || !k.contains(&kind) { continue; }
        let t = std::time::Instant::now();
        let name = config.name;
        let checker = Protocol::new(config).checker().target_state_count(cap).spawn_bfs().join();
        println!("{name} {k}: {} unique, {} total, depth {}, {:?}", checker.unique_state_count(), checker.state_count(), checker.max_depth(), t.elapsed());
        let m = checker.model();
        for p in m.properties() {
            match (checker.discovery(p.name), p.expectation) {
                (Some(path), stateright::Expectation::Always) => {
                    println!("  VIOLATED {}", p.name);
                    let acts = path.clone().into_actions();
                    for a in &acts { println!("     {a:?}"); }
                    println!("{:#?}", path.last_state());
                }
                (None, stateright::Expectation::Sometimes) => println!("  NEVER {}", p.name),
                _ => {}
            }
        }
    }
}
