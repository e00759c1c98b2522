//! The memory store passes the suite.

use std::sync::Arc;

use nave_hub::store::Store;
use nave_hub::store::memory::MemoryStore;
use nave_tests::store_conformance::Backend;

const MEMORY: Backend = Backend {
    durable: false,
    open: |_, kept| Box::pin(async move { Arc::new(MemoryStore::new(kept as usize)) as Arc<dyn Store> }),
};

nave_tests::store_conformance!(MEMORY);
