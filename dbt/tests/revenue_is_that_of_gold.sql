-- What all months have earned is what the orders of gold are worth.
select marts.revenue, gold.revenue as gold_revenue
from (select coalesce(sum(revenue), 0) as revenue, coalesce(sum(orders), 0) as orders from {{ ref('monthly_revenue') }}) as marts
cross join (select coalesce(sum(revenue), 0) as revenue, count(*) as orders from {{ source('gold', 'order_values') }}) as gold
where marts.revenue <> gold.revenue or marts.orders <> gold.orders
