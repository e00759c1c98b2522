//! `nave hub backup`: a whole archive or none, and for its owner alone.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::args::{Backup, Global};
use crate::client::{BackupStream, Hub};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, Progress};

pub(super) async fn run(global: &Global, verb: &Backup, printer: &mut Printer) -> Outcome {
    let path = verb.output.as_path();
    if path == Path::new("-") {
        if io::stdout().is_terminal() {
            return Err(Failure::usage("an archive is nothing for a terminal; name a file, or pipe it on"));
        }
        let mut stream = Hub::connect(global).await?.backup().await?;
        let size = fetch(&mut stream, &mut io::stdout(), path, printer).await?;
        printer.hint(&format!("{} fetched", size_text(size)));
        return Ok(Exit::Done);
    }
    let failed = |error: io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
            .hint("name a file in a folder in which you may write, with room for it")
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made 0600 by the library, beside its place: what is there under its name is always whole.
    let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
    let mut stream = Hub::connect(global).await?.backup().await?;
    let size = fetch(&mut stream, file.as_file_mut(), path, printer).await?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    if !printer.is_quiet() {
        printer.line(&format!("{} written ({})", path.display(), size_text(size)))?;
    }
    printer.hint("it holds the hub's keys and the values of Secrets: guard it as you guard those");
    Ok(Exit::Done)
}

/// Writes what comes; returns how many bytes came.
async fn fetch(
    stream: &mut BackupStream,
    out: &mut (dyn Write + Send),
    path: &Path,
    printer: &Printer,
) -> Outcome<u64> {
    let mut progress = Progress::start(printer.is_quiet() || !io::stderr().is_terminal());
    let mut size: u64 = 0;
    while let Some(piece) = stream.next().await? {
        out.write_all(&piece)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
        size += piece.len() as u64;
        progress.say(&format!("{} fetched", size_text(size)));
    }
    if size == 0 {
        return Err(Failure::failed("the hub sent an empty backup").hint("see the hub's log"));
    }
    out.flush().map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    Ok(size)
}

fn size_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}
