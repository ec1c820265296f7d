-- Views with the names of OCSF 1.3 (https://schema.ocsf.io), after hone.sql: Network Activity (class 4001) and Process
-- Activity (class 1007). Times are milliseconds since 1970-01-01 UTC, as OCSF has them.

CREATE OR REPLACE VIEW ocsf_network_activity AS
SELECT
    4001 AS class_uid,
    4 AS category_uid,
    6 AS activity_id, -- Traffic: what was exchanged, as one row
    400106 AS type_uid,
    1 AS severity_id,
    coalesce(first_packet_ns, opened_ns) // 1000000 AS time,
    coalesce(first_packet_ns, opened_ns) // 1000000 AS start_time,
    coalesce(closed_ns, last_packet_ns) // 1000000 AS end_time,
    {'version': '1.3.0', 'product': {'name': 'Hone', 'vendor_name': 'Hone'}, 'uid': connection_uid} AS metadata,
    {'uid': host, 'hostname': host, 'type_id': 0} AS device,
    {
        'protocol_num': protocol,
        'protocol_name': transport,
        'direction_id': CASE initiated WHEN 'remote' THEN 1 WHEN 'local' THEN 2 ELSE 0 END,
        'community_uid': community_id,
        'uid': connection_uid
    } AS connection_info,
    CASE WHEN initiated = 'remote'
        THEN {'ip': remote_address, 'port': remote_port, 'hostname': NULL}
        ELSE {'ip': local_address, 'port': local_port, 'hostname': NULL}
    END AS src_endpoint,
    CASE WHEN initiated = 'remote'
        THEN {'ip': local_address, 'port': local_port, 'hostname': name}
        ELSE {'ip': remote_address, 'port': remote_port, 'hostname': name}
    END AS dst_endpoint,
    {
        'packets_in': packets_in, 'packets_out': packets_out, 'packets': packets_in + packets_out,
        'bytes_in': bytes_in, 'bytes_out': bytes_out, 'bytes': bytes_in + bytes_out
    } AS traffic,
    {'process': {'uid': process_uid, 'pid': pid, 'name': process_name}} AS actor,
    host,
    date
FROM connections;

CREATE OR REPLACE VIEW ocsf_process_activity AS
SELECT
    1007 AS class_uid,
    1 AS category_uid,
    1 AS activity_id, -- Launch
    100701 AS type_uid,
    1 AS severity_id,
    p.started_ns // 1000000 AS time,
    p.started_ns // 1000000 AS start_time,
    p.ended_ns // 1000000 AS end_time,
    {'version': '1.3.0', 'product': {'name': 'Hone', 'vendor_name': 'Hone'}, 'uid': p.process_uid} AS metadata,
    {'uid': p.host, 'hostname': p.host, 'type_id': 0} AS device,
    {
        'uid': p.process_uid, 'pid': p.pid, 'name': p.name, 'cmd_line': p.command_line,
        'file': {'path': p.path, 'name': p.name, 'type_id': 1},
        'user': {'uid': coalesce(p.security_id, p.user_id::VARCHAR), 'name': p.user_name},
        'container': {'uid': p.container},
        'created_time': p.started_ns // 1000000,
        'terminated_time': p.ended_ns // 1000000
    } AS process,
    {'process': {'uid': p.parent_uid, 'pid': p.parent_pid, 'name': parent.name, 'cmd_line': parent.command_line}} AS actor,
    p.host,
    p.date
FROM processes p LEFT JOIN processes parent ON parent.process_uid = p.parent_uid;
