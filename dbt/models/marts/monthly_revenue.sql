with months as (
    select
        month,
        cast(coalesce(sum(revenue), 0) as decimal(18, 2)) as revenue,
        count(*) as orders,
        count(*) - count(revenue) as unpriced_orders,
        count(distinct customer_id) as customers
    from {{ ref('stg_orders') }}
    group by month
)

select
    months.month,
    months.revenue,
    months.orders,
    months.unpriced_orders,
    months.customers,
    {{ ratio('months.revenue', 'months.orders - months.unpriced_orders', 2) }} as average_order_value,
    before.revenue as revenue_before,
    {{ ratio('months.revenue - before.revenue', 'before.revenue', 4) }} as growth
from months
left join months as before on before.month = cast({{ dbt.dateadd('month', -1, 'months.month') }} as date)
