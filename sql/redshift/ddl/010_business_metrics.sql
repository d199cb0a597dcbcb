-- business_metrics: see sql/gold/business_metrics.sql for what the columns mean.
CREATE TABLE IF NOT EXISTS analytics.business_metrics (
    month DATE NOT NULL,
    category VARCHAR(256) NOT NULL,
    revenue DECIMAL(18, 2),
    orders BIGINT,
    customers BIGINT,
    units BIGINT
) DISTSTYLE ALL SORTKEY (month, category);
