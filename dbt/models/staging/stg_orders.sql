select
    order_id,
    date as ordered_on,
    {{ first_of_month('date') }} as month,
    customer_id,
    revenue
from {{ source('gold', 'order_values') }}
