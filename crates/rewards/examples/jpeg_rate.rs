//! Measures how many images the JPEG reward scores per second: `jpeg_rate FOLDER THREADS SECONDS`.
//! Prints one line of JSON. The time excludes reading the files.

#![allow(clippy::print_stdout)] // A program's output.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ddpo_picture::{images_under, read_image};
use ddpo_rewards::{RewardError, RewardModel, RewardRuntime, check};
use ddpo_rollout::reward::{RewardSettings, Task};

fn open(task: Task, threads: usize) -> Result<Box<dyn RewardModel>, RewardError> {
    ddpo_rewards::open(&RewardSettings::new(task), &RewardRuntime::on_threads(threads), &mut |_| {})
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, threads, seconds] = arguments.as_slice() else {
        return Err("usage: jpeg_rate FOLDER THREADS SECONDS".into());
    };
    let (threads, seconds): (usize, f64) = (threads.parse()?, seconds.parse()?);
    let images = images_under(Path::new(folder))?
        .iter()
        .map(|path| read_image(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut reward = open(Task::JpegCompressibility, threads)?;
    check(&images, &reward.score(&images)?)?;
    let start = Instant::now();
    let mut scored = 0;
    while start.elapsed().as_secs_f64() < seconds {
        scored += reward.score(&images)?.len();
    }
    let rate = scored as f64 / start.elapsed().as_secs_f64();
    println!("{{\"threads\": {threads}, \"images_per_second\": {rate:.1}}}");
    Ok(())
}
