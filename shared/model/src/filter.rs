//! The filter language (API.md section 6): tree, parser, evaluator, canonical text.

mod ast;
mod canonical;
mod eval;
mod fault;
mod parse;

pub use ast::{Condition, Filter, Scalar, Strictness};
pub use eval::MISSING_KEY_MATCHES_NEGATION;
pub use fault::FilterFault;

#[cfg(test)]
mod tests;
