{# One number by another, NULL by zero. Redshift keeps as few as four digits behind the point of what it divides when both are of
   DECIMAL(38, …), as sums are: from DECIMAL(18, 2) it has nineteen. #}
{% macro ratio(number, by, scale) -%}
    cast(cast({{ number }} as decimal(18, 2)) / nullif(cast({{ by }} as decimal(18, 2)), 0) as decimal(18, {{ scale }}))
{%- endmacro %}
