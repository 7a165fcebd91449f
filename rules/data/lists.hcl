list "brands" {
  description = "Names that phishing apps imitate: written as their owners write them"
  entries = [
    "Microsoft", "Microsoft Teams", "Office 365", "SharePoint", "OneDrive", "Outlook", "Exchange Online",
    "Azure", "Power BI", "Defender", "Google", "Google Workspace", "Gmail", "Salesforce", "ServiceNow",
    "Workday", "DocuSign", "Adobe", "Acrobat", "Dropbox", "Zoom", "Slack", "Atlassian", "Confluence",
    "GitHub", "GitLab", "Okta", "Cisco Webex", "LinkedIn", "PayPal", "Mailchimp", "HubSpot",
    "Zendesk", "Snowflake", "Cloudflare", "CrowdStrike", "Proofpoint", "Mimecast", "LastPass", "KnowBe4",
  ]
}

list "first_party_names" {
  description = "The provider's own app names, whole: an app of another tenant has no reason to bear them"
  entries = [
    "Microsoft Graph", "Microsoft Teams", "Microsoft Office", "Microsoft 365", "Microsoft Azure",
    "Microsoft Authenticator", "Microsoft Authentication Broker", "Microsoft Intune", "Microsoft Exchange Online Protection",
    "Microsoft Defender", "Microsoft Account Controls", "Microsoft Planner", "Office 365", "Office 365 Exchange Online",
    "Office 365 SharePoint Online", "Windows Azure Active Directory", "Azure Portal", "Azure Active Directory PowerShell",
    "Microsoft Azure CLI", "Microsoft Azure PowerShell", "OneDrive SyncEngine", "Outlook Mobile", "SharePoint Online Client Extensibility",
  ]
}

list "trusted_actors" {
  description = "Object ids of people and pipelines that change apps for their work; fill in your own"
  entry "00000000-0000-0000-0000-000000000000" {
    comment = "an example of the form: no actor has this id"
  }
}

list "trusted_apps" {
  description = "Client ids, object ids or names of apps that policies spare; fill in your own, with a comment and an end"
}

list "hosting_networks" {
  description = "Autonomous systems where servers are rented by the hour; in_list(\"hosting_networks\", source.asn). The clouds of the large providers are left out: apps run there"
  file        = "hosting_networks.csv"
}
