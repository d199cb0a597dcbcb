"""Redshift's own functions and system views, written for PostgreSQL."""

COMPATIBILITY_SCHEMA = "redshift"
"""Holds Redshift's own functions in the warehouse; it is on every session's search path."""

COMPATIBILITY_FUNCTIONS = """
CREATE SCHEMA redshift;

CREATE FUNCTION redshift.dateadd(part text, n numeric, moment timestamp) RETURNS timestamp IMMUTABLE LANGUAGE sql AS
$$ SELECT moment + trunc(n)::double precision * CASE part WHEN 'quarter' THEN interval '3 months'
                                         ELSE ('1 ' || part)::interval END $$;
CREATE FUNCTION redshift.dateadd(part text, n numeric, moment timestamptz) RETURNS timestamptz STABLE LANGUAGE sql AS
$$ SELECT moment + trunc(n)::double precision * CASE part WHEN 'quarter' THEN interval '3 months'
                                         ELSE ('1 ' || part)::interval END $$;
CREATE FUNCTION redshift.dateadd(part text, n numeric, moment date) RETURNS timestamp IMMUTABLE LANGUAGE sql AS
$$ SELECT redshift.dateadd(part, n, moment::timestamp) $$;

CREATE FUNCTION redshift.datediff(part text, earlier timestamp, later timestamp)
RETURNS bigint IMMUTABLE LANGUAGE sql AS
$$ SELECT CASE part
     WHEN 'year' THEN extract(year FROM later) - extract(year FROM earlier)
     WHEN 'quarter' THEN (extract(year FROM later) - extract(year FROM earlier)) * 4
                         + extract(quarter FROM later) - extract(quarter FROM earlier)
     WHEN 'month' THEN (extract(year FROM later) - extract(year FROM earlier)) * 12
                       + extract(month FROM later) - extract(month FROM earlier)
     WHEN 'week' THEN (date_trunc('week', later)::date - date_trunc('week', earlier)::date) / 7
     WHEN 'day' THEN later::date - earlier::date
     ELSE extract(epoch FROM date_trunc(part, later) - date_trunc(part, earlier)) * CASE part
            WHEN 'hour' THEN 1 / 3600.0 WHEN 'minute' THEN 1 / 60.0 WHEN 'second' THEN 1
            WHEN 'milliseconds' THEN 1000 WHEN 'microseconds' THEN 1000000 END
   END::bigint $$;
CREATE FUNCTION redshift.datediff(part text, earlier timestamptz, later timestamptz)
RETURNS bigint STABLE LANGUAGE sql AS
$$ SELECT redshift.datediff(part, earlier AT TIME ZONE 'UTC', later AT TIME ZONE 'UTC') $$;

CREATE FUNCTION redshift.getdate() RETURNS timestamp STABLE LANGUAGE sql AS
$$ SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC') $$;
CREATE FUNCTION redshift.sysdate() RETURNS timestamp STABLE LANGUAGE sql AS
$$ SELECT transaction_timestamp() AT TIME ZONE 'UTC' $$;
CREATE FUNCTION redshift.trunc(moment timestamp) RETURNS date IMMUTABLE LANGUAGE sql AS $$ SELECT moment::date $$;
CREATE FUNCTION redshift.months_between(a timestamp, b timestamp) RETURNS double precision IMMUTABLE LANGUAGE sql AS
$$ SELECT (extract(year FROM a) - extract(year FROM b)) * 12 + extract(month FROM a) - extract(month FROM b)
          + CASE WHEN extract(day FROM a) = extract(day FROM b)
                   OR (a::date = (date_trunc('month', a) + interval '1 month - 1 day')::date
                       AND b::date = (date_trunc('month', b) + interval '1 month - 1 day')::date) THEN 0
                 ELSE (extract(day FROM a) - extract(day FROM b)) / 31.0 END $$;
CREATE FUNCTION redshift.sha2(value text, bits int)
RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT encode(CASE bits WHEN 224 THEN sha224(convert_to(value, 'UTF8'))
                           WHEN 384 THEN sha384(convert_to(value, 'UTF8'))
                           WHEN 512 THEN sha512(convert_to(value, 'UTF8'))
                           ELSE sha256(convert_to(value, 'UTF8')) END, 'hex') $$;
CREATE FUNCTION redshift.strtol(digits text, base int) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql AS
$$ SELECT CASE base WHEN 10 THEN digits::bigint WHEN 16 THEN ('x' || lpad(digits, 16, '0'))::bit(64)::bigint END $$;
CREATE FUNCTION redshift.json_extract_path_text(document text, VARIADIC path text[])
RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT document::jsonb #>> path $$;
CREATE FUNCTION redshift.json_serialize(document jsonb)
RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT document::text $$;
CREATE FUNCTION redshift.pg_last_copy_count() RETURNS bigint STABLE LANGUAGE sql AS
$$ SELECT coalesce(nullif(current_setting('redshift.last_copy_count', true), ''), '0')::bigint $$;

CREATE VIEW redshift.svv_tables AS SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables;
CREATE VIEW redshift.svv_columns AS
SELECT table_catalog, table_schema, table_name, column_name, ordinal_position, column_default, is_nullable, data_type,
       character_maximum_length, numeric_precision, numeric_scale FROM information_schema.columns;
CREATE VIEW redshift.svv_roles AS
SELECT oid AS role_id, rolname AS role_name FROM pg_roles WHERE NOT rolcanlogin AND rolname NOT LIKE 'pg\\_%'
  AND pg_has_role(current_user, oid, 'MEMBER');
CREATE VIEW redshift.svv_user_grants AS
SELECT u.oid AS user_id, u.rolname AS user_name, r.oid AS role_id, r.rolname AS role_name, m.admin_option
FROM pg_auth_members m JOIN pg_roles u ON u.oid = m.member JOIN pg_roles r ON r.oid = m.roleid WHERE u.rolcanlogin
  AND (u.rolname = current_user OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user));
-- PostgreSQL has stopped to let everybody create there, Redshift has not.
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;
GRANT USAGE ON SCHEMA redshift TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA redshift TO PUBLIC;
"""

ASSUMEROLE = f"""
CREATE TABLE IF NOT EXISTS {COMPATIBILITY_SCHEMA}.assumerole (iam_role text, grantee text, command text);
INSERT INTO {COMPATIBILITY_SCHEMA}.assumerole SELECT 'ALL', 'PUBLIC', 'ALL'
WHERE obj_description('{COMPATIBILITY_SCHEMA}.assumerole'::regclass) IS NULL;
COMMENT ON TABLE {COMPATIBILITY_SCHEMA}.assumerole IS 'Who may have which command assume which role of IAM.';
GRANT SELECT ON {COMPATIBILITY_SCHEMA}.assumerole TO PUBLIC;
"""
"""Makes what GRANT ASSUMEROLE and REVOKE ASSUMEROLE change; a warehouse that has it stays as it is."""
