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
    fn names() {
        let table = [
            ("", Some(Cloud::Public)),
            ("AzurePublicCloud", Some(Cloud::Public)),
            ("AZUREUSGOVERNMENT", Some(Cloud::UsGovernment)),
            ("china", Some(Cloud::China)),
            ("mars", None),
        ];
        for (name, cloud) in table {
            assert_eq!(name.parse::<Cloud>().ok(), cloud, "{name}");
        }
    }
}
