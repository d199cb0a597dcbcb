-- Every customer of gold is in one band, with all that they have spent.
select marts.customers, gold.customers as gold_customers, marts.lifetime_value, gold.lifetime_value as gold_lifetime_value
from (
    select coalesce(sum(customers), 0) as customers, coalesce(sum(lifetime_value), 0) as lifetime_value
    from {{ ref('customer_value_bands') }}
) as marts
cross join (
    select count(*) as customers, coalesce(sum(lifetime_value), 0) as lifetime_value
    from {{ source('gold', 'customer_analytics') }}
) as gold
where marts.customers <> gold.customers or marts.lifetime_value <> gold.lifetime_value
