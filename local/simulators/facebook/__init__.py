"""The Graph API of Facebook's ads."""
