//! Compiles the protobuf files, in Rust alone: no protoc has to be installed.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 3] = ["nave/v1/types.proto", "nave/v1/fleet.proto", "nave/v1/agent.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("nave.v1.descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
