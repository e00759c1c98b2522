//! How the hub fails over as a whole: when it doubts itself, when a cluster counts as sick, how fast it moves, and whom
//! it asks whether an old copy is dead.

use std::path::PathBuf;
use std::time::Duration;

use nave_common::time::HumanDuration;
use serde::Deserialize;

use super::Error;
use super::file::set;

/// The least startup freeze where none is set.
const MIN_DEFAULT_FREEZE: Duration = Duration::from_secs(60);
/// The longest freeze and dwell time that can be set.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

/// How the hub fails over as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverConfig {
    /// How long nothing moves by itself after a start, and after the hub found that it was paused; `None`: the longer of
    /// three liveness leases and one minute. Exclusive work always waits for the longest lease it was promised, too.
    pub startup_freeze: Option<Duration>,
    /// Nothing moves by itself while more than so many percent of the regions are silent at once.
    pub freeze_above_percent: u8,
    /// How long a cluster's API server or most of its nodes must be down before the cluster counts as sick.
    pub sick_after: Duration,
    /// A cluster with fewer percent of its nodes ready is sick.
    pub min_ready_percent: u8,
    /// How many moves may begin at once.
    pub burst: u32,
    /// How many moves may begin per second after that.
    pub per_second: u32,
    /// Whom the hub asks to make sure that an old copy of Exclusive work is dead; nobody where it is left out.
    pub fencing_webhook: Option<WebhookConfig>,
}

/// Whom the hub asks to make sure that an old copy of Exclusive work is dead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where it listens: `https://…`, or `http://…` on a network that is trusted.
    pub url: String,
    /// The certificates that it is trusted by, PEM; needed for `https`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl Default for FailoverConfig {
    fn default() -> Self {
        Self {
            startup_freeze: None,
            freeze_above_percent: 50,
            sick_after: Duration::from_secs(60),
            min_ready_percent: 50,
            burst: 100,
            per_second: 10,
            fencing_webhook: None,
        }
    }
}

impl FailoverConfig {
    /// How long nothing moves by itself after a start, with this liveness lease.
    #[must_use]
    pub fn startup_freeze(&self, liveness_lease: Duration) -> Duration {
        self.startup_freeze.unwrap_or_else(|| (liveness_lease * 3).max(MIN_DEFAULT_FREEZE))
    }

    /// Checks what types alone cannot hold.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refused = |name: &str, why: String| Err(Error::new(format!("failover.{name}"), why));
        for (name, time) in
            [("startupFreeze", self.startup_freeze.unwrap_or_default()), ("sickAfter", self.sick_after)]
        {
            if time > MAX_TIME {
                return refused(name, format!("is {}; expected at most 1d", HumanDuration(time)));
            }
        }
        for (name, percent) in
            [("freezeAbove", self.freeze_above_percent), ("minReadyNodes", self.min_ready_percent)]
        {
            if percent > 100 {
                return refused(name, format!("is {percent}; expected 0 to 100, in percent"));
            }
        }
        for (name, count) in [("burst", self.burst), ("perSecond", self.per_second)] {
            if !(1..=100_000).contains(&count) {
                return refused(name, format!("is {count}; expected 1 to 100000"));
            }
        }
        self.fencing_webhook.as_ref().map_or(Ok(()), WebhookConfig::check)
    }
}

impl WebhookConfig {
    fn check(&self) -> Result<(), Error> {
        let refused =
            |field: &str, why: String| Err(Error::new(format!("failover.fencingWebhook.{field}"), why));
        let parsed: Result<axum::http::Uri, _> = self.url.parse();
        let scheme =
            parsed.as_ref().ok().filter(|uri| uri.host().is_some()).and_then(axum::http::Uri::scheme_str);
        match scheme {
            Some("http") => Ok(()),
            Some("https") if self.ca_file.is_some() => Ok(()),
            Some("https") => {
                refused("caFile", "is missing; expected the file of the certificates to trust (PEM)".into())
            }
            _ => refused("url", format!("is {:?}; expected https://HOST/PATH or http://HOST/PATH", self.url)),
        }
    }
}

/// What a configuration file may say of failover.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileFailover {
    startup_freeze: Option<HumanDuration>,
    freeze_above: Option<u8>,
    sick_after: Option<HumanDuration>,
    min_ready_nodes: Option<u8>,
    burst: Option<u32>,
    per_second: Option<u32>,
    fencing_webhook: Option<WebhookConfig>,
}

impl FileFailover {
    /// Puts what the file says over `config`.
    pub(super) fn put_on(self, config: &mut FailoverConfig) {
        set(&mut config.startup_freeze, self.startup_freeze.map(|it| Some(it.0)));
        set(&mut config.freeze_above_percent, self.freeze_above);
        set(&mut config.sick_after, self.sick_after.map(|it| it.0));
        set(&mut config.min_ready_percent, self.min_ready_nodes);
        set(&mut config.burst, self.burst);
        set(&mut config.per_second, self.per_second);
        set(&mut config.fencing_webhook, self.fencing_webhook.map(Some));
    }
}

/// Flags of `run` about failover.
#[derive(Debug, Default, clap::Args)]
pub struct FailoverArguments {
    /// How long nothing fails over by itself after a start [default: three liveness leases, at least 1m].
    #[arg(long, env = "NAVE_HUB_FAILOVER_STARTUP_FREEZE", value_name = "DURATION")]
    pub failover_startup_freeze: Option<HumanDuration>,
    /// Nothing fails over by itself while more percent of the regions are silent at once [default: 50].
    #[arg(long, env = "NAVE_HUB_FAILOVER_FREEZE_ABOVE", value_name = "PERCENT")]
    pub failover_freeze_above: Option<u8>,
    /// How long an API server or most nodes must be down before a cluster counts as sick [default: 1m].
    #[arg(long, env = "NAVE_HUB_FAILOVER_SICK_AFTER", value_name = "DURATION")]
    pub failover_sick_after: Option<HumanDuration>,
    /// A cluster with fewer percent of its nodes ready is sick [default: 50].
    #[arg(long, env = "NAVE_HUB_FAILOVER_MIN_READY_NODES", value_name = "PERCENT")]
    pub failover_min_ready_nodes: Option<u8>,
    /// How many moves may begin at once [default: 100].
    #[arg(long, env = "NAVE_HUB_FAILOVER_BURST", value_name = "COUNT")]
    pub failover_burst: Option<u32>,
    /// How many moves may begin per second after that [default: 10].
    #[arg(long, env = "NAVE_HUB_FAILOVER_PER_SECOND", value_name = "COUNT")]
    pub failover_per_second: Option<u32>,
    /// Whom to ask to make sure that an old copy of Exclusive work is dead.
    #[arg(long, env = "NAVE_HUB_FENCING_WEBHOOK_URL", value_name = "URL")]
    pub fencing_webhook_url: Option<String>,
    /// The certificates by which the fencing webhook is trusted (PEM).
    #[arg(
        long,
        env = "NAVE_HUB_FENCING_WEBHOOK_CA_FILE",
        value_name = "FILE",
        requires = "fencing_webhook_url"
    )]
    pub fencing_webhook_ca_file: Option<PathBuf>,
}

impl FailoverArguments {
    /// Puts what was typed over `config`.
    pub(super) fn put_on(self, config: &mut FailoverConfig) {
        FileFailover {
            startup_freeze: self.failover_startup_freeze,
            freeze_above: self.failover_freeze_above,
            sick_after: self.failover_sick_after,
            min_ready_nodes: self.failover_min_ready_nodes,
            burst: self.failover_burst,
            per_second: self.failover_per_second,
            fencing_webhook: self
                .fencing_webhook_url
                .map(|url| WebhookConfig { url, ca_file: self.fencing_webhook_ca_file }),
        }
        .put_on(config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let webhook = |url: &str| Some(WebhookConfig { url: url.into(), ca_file: None });
        type Change = Box<dyn Fn(&mut FailoverConfig)>;
        let cases: [(&str, Change); 5] = [
            ("failover.freezeAbove", Box::new(|it| it.freeze_above_percent = 101)),
            ("failover.perSecond", Box::new(|it| it.per_second = 0)),
            ("failover.sickAfter", Box::new(|it| it.sick_after = MAX_TIME * 2)),
            (
                "failover.fencingWebhook.url",
                Box::new(move |it| it.fencing_webhook = webhook("fence.example.com")),
            ),
            (
                "failover.fencingWebhook.caFile",
                Box::new(move |it| it.fencing_webhook = webhook("https://fence.example.com/")),
            ),
        ];
        for (setting, change) in cases {
            let mut config = FailoverConfig::default();
            assert_eq!(config.check(), Ok(()));
            change(&mut config);
            assert_eq!(config.check().unwrap_err().setting, setting);
        }
    }

    #[test]
    fn a_startup_freeze_follows_the_lease_unless_it_is_set() {
        let mut config = FailoverConfig::default();
        assert_eq!(config.startup_freeze(Duration::from_secs(10)), Duration::from_secs(60));
        assert_eq!(config.startup_freeze(Duration::from_secs(30)), Duration::from_secs(90));
        let file: FileFailover = serde_saphyr::from_str("{startupFreeze: 3s, freezeAbove: 70}").unwrap();
        file.put_on(&mut config);
        assert_eq!(config.startup_freeze(Duration::from_secs(30)), Duration::from_secs(3));
        assert_eq!(config.freeze_above_percent, 70);
    }
}
