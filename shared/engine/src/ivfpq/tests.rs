//! The room against FAISS itself (its own add, reader and writer, through faiss-sys), against a plain computation of
//! the same distances, and against inputs that FAISS does not take well.
#![allow(unsafe_code)]

mod degenerate;
mod files;
mod fixture;
mod searching;
mod training;
