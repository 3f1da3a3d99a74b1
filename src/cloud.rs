//! The Azure clouds: one name for authority and Resource Manager addresses.

use std::fmt;
use std::str::FromStr;

/// An Azure cloud (azure-protocols.md 1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// Azure for everyone.
    #[default]
    Public,
    /// Azure for the US government.
    UsGovernment,
    /// Azure in China, run by 21Vianet.
    China,
}

/// A name that is no cloud.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown cloud {0:?}: use public, usgovernment or china (or AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud)"
)]
pub struct UnknownCloud(String);

impl Cloud {
    /// Microsoft Entra's address, with the slash at the end that the reference keeps.
    #[must_use]
    pub fn authority_host(self) -> &'static str {
        match self {
            Cloud::Public => "https://login.microsoftonline.com/",
            Cloud::UsGovernment => "https://login.microsoftonline.us/",
            Cloud::China => "https://login.chinacloudapi.cn/",
        }
    }

    /// Resource Manager's address, which is its token's audience too; no slash at the end.
    #[must_use]
    pub fn resource_manager(self) -> &'static str {
        match self {
            Cloud::Public => "https://management.azure.com",
            Cloud::UsGovernment => "https://management.usgovcloudapi.net",
            Cloud::China => "https://management.chinacloudapi.cn",
        }
    }
}

impl FromStr for Cloud {
    type Err = UnknownCloud;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.to_ascii_lowercase().as_str() {
            "" | "public" | "azurecloud" | "azurepubliccloud" => Ok(Cloud::Public),
            "usgovernment" | "azureusgovernment" | "azureusgovernmentcloud" => {
                Ok(Cloud::UsGovernment)
            }
            "china" | "azurechinacloud" => Ok(Cloud::China),
            _ => Err(UnknownCloud(name.to_owned())),
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cloud::Public => "public",
            Cloud::UsGovernment => "usgovernment",
            Cloud::China => "china",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Cloud;

    #[test]
    fn names_and_addresses() {
        let public = (
            "https://login.microsoftonline.com/",
            "https://management.azure.com",
        );
        let us_government = (
            "https://login.microsoftonline.us/",
            "https://management.usgovcloudapi.net",
        );
        let china = (
            "https://login.chinacloudapi.cn/",
            "https://management.chinacloudapi.cn",
        );
        // Names of our own, of the reference and go-autorest, and of the az CLI.
        let table = [
            ("", Some(public)),
            ("public", Some(public)),
            ("AzurePublicCloud", Some(public)),
            ("AzureCloud", Some(public)),
            ("usgovernment", Some(us_government)),
            ("AzureUSGovernmentCloud", Some(us_government)),
            ("AZUREUSGOVERNMENT", Some(us_government)),
            ("china", Some(china)),
            ("AzureChinaCloud", Some(china)),
            ("mars", None),
        ];
        for (name, addresses) in table {
            let cloud = name.parse::<Cloud>().ok();
            let found = cloud.map(|cloud| (cloud.authority_host(), cloud.resource_manager()));
            assert_eq!(found, addresses, "{name}");
        }
    }
}
