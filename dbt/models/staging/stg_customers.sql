with newest as (
    select max(last_order_date) as ordered_on from {{ source('gold', 'customer_analytics') }}
)

select
    customers.customer_id,
    customers.segment,
    customers.lifetime_value,
    customers.orders,
    customers.first_order_date,
    customers.last_order_date,
    cast({{ dbt.datediff('customers.last_order_date', 'newest.ordered_on', 'day') }} as integer) as days_since_order
from {{ source('gold', 'customer_analytics') }} as customers
cross join newest
