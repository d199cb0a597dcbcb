"""The Google Ads API."""
