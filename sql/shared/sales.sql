-- sales: the orders that count, each with its revenue: its total in the reporting currency, to the cent; NULL without a rate.
-- rows
SELECT
    sold.order_id, sold.customer_id, sold.store_id, sold.campaign_id, sold.ordered_at, sold.sold_on, sold.currency, sold.amount,
    CASE WHEN sold.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS rate,
    CASE WHEN sold.currency <> '${reporting_currency}' THEN rates.quoted_on END AS rate_date,
    CAST(sold.amount * CASE WHEN sold.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS DECIMAL(18, 2)) AS revenue
FROM sold_orders AS sold
LEFT JOIN rates ON rates.date = sold.sold_on AND rates.currency = sold.currency
