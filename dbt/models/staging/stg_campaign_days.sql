select
    date,
    {{ first_of_month('date') }} as month,
    platform,
    account_id,
    campaign_id,
    impressions,
    clicks,
    cost_reporting as cost,
    conversions,
    conversion_value_reporting as conversion_value
from {{ source('gold', 'marketing_performance') }}
