with platforms as (
    select
        month,
        platform,
        cast(sum(impressions) as bigint) as impressions,
        cast(sum(clicks) as bigint) as clicks,
        cast(coalesce(sum(cost), 0) as decimal(18, 2)) as cost,
        count(*) - count(cost) as unpriced_days,
        cast(coalesce(sum(conversions), 0) as decimal(18, 2)) as conversions,
        cast(coalesce(sum(conversion_value), 0) as decimal(18, 2)) as conversion_value
    from {{ ref('stg_campaign_days') }}
    group by month, platform
),

months as (
    select month, sum(cost) as cost from platforms group by month
)

select
    platforms.month,
    platforms.platform,
    platforms.impressions,
    platforms.clicks,
    platforms.cost,
    platforms.unpriced_days,
    platforms.conversions,
    platforms.conversion_value,
    {{ ratio('platforms.cost', 'platforms.conversions', 4) }} as cost_per_conversion,
    {{ ratio('platforms.conversion_value', 'platforms.cost', 4) }} as roas,
    {{ ratio('platforms.cost', 'months.cost', 4) }} as share_of_cost,
    revenue.revenue as shop_revenue,
    {{ ratio('platforms.cost', 'revenue.revenue', 4) }} as cost_per_shop_revenue
from platforms
inner join months on months.month = platforms.month
left join {{ ref('monthly_revenue') }} as revenue on revenue.month = platforms.month
