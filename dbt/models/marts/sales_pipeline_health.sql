select
    month,
    pipeline,
    cast(sum(deals) as bigint) as deals,
    cast(sum(case when outcome = 'open' then deals else 0 end) as bigint) as open_deals,
    cast(sum(case when outcome = 'won' then deals else 0 end) as bigint) as won_deals,
    cast(sum(case when outcome = 'lost' then deals else 0 end) as bigint) as lost_deals,
    cast(sum(unvalued_deals) as bigint) as unvalued_deals,
    cast(coalesce(sum(case when outcome = 'open' then value end), 0) as decimal(18, 2)) as open_value,
    cast(coalesce(sum(case when outcome = 'open' then weighted_value end), 0) as decimal(18, 2)) as weighted_open_value,
    cast(coalesce(sum(case when outcome = 'won' then value end), 0) as decimal(18, 2)) as won_value,
    max(win_rate) as win_rate
from {{ ref('stg_deals') }}
group by month, pipeline
