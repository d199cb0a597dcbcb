{# The first day of a date's month. #}
{% macro first_of_month(date) -%}
    cast({{ dbt.date_trunc('month', date) }} as date)
{%- endmacro %}
