//! Mistakes planted in a sound database: the checks of this suite must find each of them.
