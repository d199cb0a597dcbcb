with customers as (
    select
        segment,
        case
            when days_since_order <= 30 then 'active'
            when days_since_order <= 90 then 'cooling'
            when days_since_order <= 180 then 'lapsing'
            else 'lost'
        end as recency,
        lifetime_value,
        orders
    from {{ ref('stg_customers') }}
),

bands as (
    select
        segment,
        recency,
        count(*) as customers,
        cast(sum(orders) as bigint) as orders,
        cast(coalesce(sum(lifetime_value), 0) as decimal(18, 2)) as lifetime_value
    from customers
    group by segment, recency
),

everybody as (
    select sum(lifetime_value) as lifetime_value from bands
)

select
    bands.segment,
    bands.recency,
    bands.customers,
    bands.orders,
    bands.lifetime_value,
    {{ ratio('bands.lifetime_value', 'bands.customers', 2) }} as average_lifetime_value,
    {{ ratio('bands.lifetime_value', 'everybody.lifetime_value', 4) }} as share_of_value
from bands
cross join everybody
