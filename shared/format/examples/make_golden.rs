//! Writes `golden/v1`: `cargo run -p genai-vectors-format --example make_golden`. The result is always the same;
//! a difference in version control means that the format has changed.
#![allow(clippy::unwrap_used)]

#[path = "../tests/fixture/mod.rs"]
mod fixture;

fn main() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in fixture::files() {
        println!("{name:<26}{:>7} bytes", bytes.len());
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
