-- marketing_performance: see sql/gold/marketing_performance.sql for what the columns mean.
CREATE TABLE IF NOT EXISTS analytics.marketing_performance (
    date DATE NOT NULL,
    platform VARCHAR(32) NOT NULL,
    account_id VARCHAR(64) NOT NULL,
    campaign_id VARCHAR(64) NOT NULL,
    currency CHAR(3),
    impressions BIGINT,
    clicks BIGINT,
    cost DECIMAL(18, 2),
    cost_reporting DECIMAL(18, 2),
    conversions DECIMAL(18, 2),
    conversion_value_reporting DECIMAL(18, 2),
    ctr DECIMAL(18, 6),
    cpc DECIMAL(18, 4),
    cpa DECIMAL(18, 4),
    roas DECIMAL(18, 4)
) DISTSTYLE AUTO SORTKEY (date);
