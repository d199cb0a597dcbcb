-- Every deal of gold is open, won or lost, and counted once.
select marts.deals, marts.outcomes, gold.deals as gold_deals
from (
    select coalesce(sum(deals), 0) as deals, coalesce(sum(open_deals + won_deals + lost_deals), 0) as outcomes
    from {{ ref('sales_pipeline_health') }}
) as marts
cross join (select coalesce(sum(deals), 0) as deals from {{ source('gold', 'sales_pipeline') }}) as gold
where marts.deals <> gold.deals or marts.outcomes <> gold.deals
