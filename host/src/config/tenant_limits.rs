//! The settings that limit tenants which have no limit of their own.

use super::read;
use super::setting::Setting;
use crate::domain::Limit;

macro_rules! tenant_limit {
    ($setting:ident, $name:literal, $value_name:literal, $default:literal, $help:literal, $limit:expr) => {
        pub(super) const $setting: Setting = Setting {
            name: $name,
            file_name: concat!($name, "_file"),
            value_name: $value_name,
            default: Some($default),
            help: $help,
            secret: false,
            list: false,
            apply: |config, text| {
                let value = read::or_off(text, |text| read::number(text, $limit.bounds()))?;
                config.tenant_limits.set($limit, value);
                Ok(())
            },
        };
    };
}

tenant_limit!(
    HOOKS,
    "max_hooks_per_tenant",
    "COUNT",
    "10000",
    "The maximum number of hooks of one tenant",
    Limit::Hooks
);
tenant_limit!(
    SETTINGS_BYTES,
    "max_config_bytes_per_tenant",
    "BYTES",
    "33554432",
    "The maximum memory for the hooks of one tenant, including the settings of their plugins",
    Limit::SettingsBytes
);
tenant_limit!(
    PLUGIN_BYTES,
    "max_plugin_bytes_per_tenant",
    "BYTES",
    "1073741824",
    "The maximum size of the plugins that one tenant stores, including all versions",
    Limit::PluginBytes
);
tenant_limit!(
    KEYS,
    "max_keys_per_tenant",
    "COUNT",
    "1000",
    "The maximum number of API keys of one tenant",
    Limit::Keys
);
tenant_limit!(
    PROJECTS,
    "max_projects_per_tenant",
    "COUNT",
    "10000",
    "The maximum number of projects of one tenant",
    Limit::Projects
);
tenant_limit!(
    CHANGES_PER_DAY,
    "max_changes_per_day_per_tenant",
    "COUNT",
    "20000",
    "How many changes of configuration one tenant may make in a day on each node, and, counted apart, how many links to the console and changes of tokens of API v2: both bound its part of the audit log; changes by operators do not count. `off`: no limit",
    Limit::ChangesPerDay
);
tenant_limit!(
    EVENTS_PER_SECOND,
    "max_events_per_second_per_tenant",
    "COUNT",
    "off",
    "How many events one tenant may publish in a second, on all nodes together; `off`: no limit",
    Limit::EventsPerSecond
);
tenant_limit!(
    STORAGE_BYTES,
    "max_storage_bytes_per_tenant",
    "BYTES",
    "off",
    "About how many bytes the stored events of one tenant may take; `off`: no limit",
    Limit::StorageBytes
);
tenant_limit!(
    FUEL_PER_MINUTE,
    "max_plugin_fuel_per_minute_per_tenant",
    "FUEL",
    "off",
    "How much fuel the plugins of one tenant may use for deliveries in a minute, on all nodes together; what is over waits. `off`: no limit",
    Limit::FuelPerMinute
);

#[cfg(test)]
mod tests {
    use super::super::settings::settings;
    use crate::domain::Limit;

    #[test]
    fn every_limit_of_a_tenant_has_its_setting() {
        for limit in Limit::ALL {
            assert!(settings().any(|setting| setting.name == limit.setting()), "{limit:?}");
        }
    }
}
