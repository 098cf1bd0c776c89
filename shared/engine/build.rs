//! Compiles the shim over FAISS (feature `ivfpq`); without the feature there is nothing to do.
// The environment is how cargo talks to a build script.
#![allow(clippy::disallowed_methods)]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "ivfpq")]
    if let Err(error) = faiss::build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

#[cfg(feature = "ivfpq")]
mod faiss {
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::{env, fs};

    type Error = Box<dyn std::error::Error>;

    const SHIM: &str = "src/ivfpq/shim.cpp";
    const HEADERS: [&str; 2] = ["src/ivfpq/fast_scan.h", "src/ivfpq/row_lists.h"];

    pub(super) fn build() -> Result<(), Error> {
        for file in [SHIM].into_iter().chain(HEADERS) {
            println!("cargo:rerun-if-changed={file}");
        }
        // Set by faiss-sys: where it installed FAISS and its headers.
        let faiss = PathBuf::from(env::var("DEP_FAISS_C_ROOT")?);
        let mut shim = cc::Build::new();
        shim.cpp(true)
            .std("c++17")
            .include(faiss.join("include"))
            .define("NDEBUG", None)
            .flag("-fopenmp")
            .file(SHIM);
        let compiler = shim.get_compiler().path().to_owned();
        shim.try_compile("genai_faiss_shim")?;
        link(&compiler)
    }

    /// faiss-sys asks for blas, lapack, gomp and stdc++ without saying how. A folder with nothing but archives, before
    /// the system's, makes all four static: empty ones for BLAS and LAPACK, whose names are in `blas.rs`.
    fn link(compiler: &Path) -> Result<(), Error> {
        let folder = PathBuf::from(env::var("OUT_DIR")?).join("archives");
        fs::create_dir_all(&folder)?;
        for name in ["libblas.a", "liblapack.a"] {
            fs::write(folder.join(name), b"!<arch>\n")?;
        }
        for name in ["libgomp.a", "libstdc++.a"] {
            let output = Command::new(compiler)
                .arg(format!("-print-file-name={name}"))
                .output()?;
            let found = PathBuf::from(String::from_utf8(output.stdout)?.trim());
            // The compiler prints the bare name when it has no such file.
            if !found.is_absolute() {
                return Err(format!("{} has no {name}", compiler.display()).into());
            }
            fs::copy(found, folder.join(name))?;
        }
        println!("cargo:rustc-link-search=native={}", folder.display());
        Ok(())
    }
}
