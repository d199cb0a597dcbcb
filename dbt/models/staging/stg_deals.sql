select
    month,
    pipeline,
    stage,
    case stage when 'closedwon' then 'won' when 'closedlost' then 'lost' else 'open' end as outcome,
    deals,
    unvalued_deals,
    value,
    weighted_value,
    win_rate
from {{ source('gold', 'sales_pipeline') }}
