-- sales_pipeline: how the deals of each month stand: by stage, what they are worth, how many are won and how long that takes.
-- Grain: month, pipeline, stage
-- Owner: Sales
-- Distribution: ALL
-- Sort key: month
-- month DATE: first day of the month in which the deal was made, by the business time zone
-- pipeline VARCHAR(64): the CRM's pipeline; unknown where a deal has none
-- stage VARCHAR(64): stage that the deal is in now; unknown where it has none
-- deals BIGINT: deals that are not archived
-- unvalued_deals BIGINT: those of them without an amount, or without a rate for it, which are in no value
-- value DECIMAL(18, 2) [reporting currency]: amounts in the reporting currency by the rate of the day on which the deal was made
-- probability DECIMAL(3, 2): how likely a deal of the stage is won, as the CRM takes it unless it is told otherwise; NULL for a stage of somebody's own
-- weighted_value DECIMAL(18, 2) [reporting currency]: value by probability
-- days_to_close DECIMAL(9, 2) [days]: mean of days from when the deals were made to when they were closed; NULL for a stage that is open
-- win_rate DECIMAL(5, 4): won deals per closed deal of the month and the pipeline, the same for each of its stages; NULL while none is closed
-- affected
SELECT CAST(date_trunc('MONTH', from_utc_timestamp(created_at, '${business_time_zone}')) AS DATE) AS month FROM changed_crm_deals
UNION
SELECT CAST(date_trunc('MONTH', date) AS DATE) AS month FROM changed_rates
-- rows
WITH made AS (
    SELECT
        CAST(from_utc_timestamp(created_at, '${business_time_zone}') AS DATE) AS made_on,
        CAST(from_utc_timestamp(closes_at, '${business_time_zone}') AS DATE) AS closes_on,
        coalesce(pipeline, 'unknown') AS pipeline,
        coalesce(stage, 'unknown') AS stage,
        amount, currency
    FROM crm_deals
    WHERE NOT is_archived
),

valued AS (
    SELECT
        CAST(date_trunc('MONTH', made.made_on) AS DATE) AS month,
        made.pipeline, made.stage,
        CASE WHEN made.stage IN ('closedwon', 'closedlost') THEN datediff(made.closes_on, made.made_on) END AS days,
        CAST(made.amount * CASE WHEN made.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS DECIMAL(18, 2)) AS value
    FROM made
    LEFT JOIN rates ON rates.date = made.made_on AND rates.currency = made.currency
),

stages AS (
    SELECT
        month, pipeline, stage,
        count(*) AS deals,
        count(*) - count(value) AS unvalued_deals,
        CAST(sum(value) AS DECIMAL(18, 2)) AS value,
        CAST(
            CASE stage
                WHEN 'appointmentscheduled' THEN 0.2
                WHEN 'qualifiedtobuy' THEN 0.4
                WHEN 'presentationscheduled' THEN 0.6
                WHEN 'decisionmakerboughtin' THEN 0.8
                WHEN 'contractsent' THEN 0.9
                WHEN 'closedwon' THEN 1
                WHEN 'closedlost' THEN 0
            END AS DECIMAL(3, 2)
        ) AS probability,
        CAST(avg(days) AS DECIMAL(9, 2)) AS days_to_close,
        sum(CASE WHEN stage = 'closedwon' THEN 1 ELSE 0 END) AS won,
        sum(CASE WHEN stage IN ('closedwon', 'closedlost') THEN 1 ELSE 0 END) AS closed
    FROM valued
    WHERE month IN (SELECT month FROM affected)
    GROUP BY month, pipeline, stage
)

SELECT
    month, pipeline, stage, deals, unvalued_deals, value, probability,
    CAST(value * probability AS DECIMAL(18, 2)) AS weighted_value,
    days_to_close,
    CAST(
        sum(won) OVER (PARTITION BY month, pipeline) / nullif(sum(closed) OVER (PARTITION BY month, pipeline), 0) AS DECIMAL(5, 4)
    ) AS win_rate
FROM stages
