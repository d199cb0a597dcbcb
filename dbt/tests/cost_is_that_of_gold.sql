-- What all platforms have cost and brought in is what gold says of their campaigns.
select marts.cost, gold.cost as gold_cost, marts.conversion_value, gold.conversion_value as gold_conversion_value
from (
    select coalesce(sum(cost), 0) as cost, coalesce(sum(conversion_value), 0) as conversion_value
    from {{ ref('marketing_efficiency') }}
) as marts
cross join (
    select coalesce(sum(cost_reporting), 0) as cost, coalesce(sum(conversion_value_reporting), 0) as conversion_value
    from {{ source('gold', 'marketing_performance') }}
) as gold
where marts.cost <> gold.cost or marts.conversion_value <> gold.conversion_value
