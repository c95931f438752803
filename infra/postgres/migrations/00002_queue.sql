-- +goose Up
-- The durable queue: what is leased is a lane (an ordering key), never a single message. A lane's row exists only while the lane has
-- messages. Texts compare by bytes (COLLATE "C"), so that the program and the database sort lanes alike: every function that locks
-- several lanes takes them in that order, which is what keeps them from deadlocking each other.
--
-- A lane is named topic/key. The topic stands inside the name so that a probe for a lane can only use the primary key: with the topic
-- leading both indexes, the planner probed the wrong one (272 messages/s). topic/#uuid is the lane of one unordered message, and
-- lane#id that of one message split off by a relaxed retry; a key therefore never holds a #.
CREATE TABLE queue_lanes (
    lane     text COLLATE "C" PRIMARY KEY,
    topic    text COLLATE "C" NOT NULL,
    session  text COLLATE "C",                          -- the session whose claim's owner alone may lease the lane; NULL: anybody
    ready_at timestamptz      NOT NULL,                 -- leasable from then on: publish time, end of the lease, retry time, or infinity
    owner    text,                                      -- who leases it; still set when a lease ran out, which is how a crash is seen
    epoch    bigint           NOT NULL DEFAULT 0,       -- fencing token, a new one for each lease
    parked   text CHECK (parked IN ('session', 'crashes')),
    CHECK ((parked IS NOT NULL) = (ready_at = 'infinity'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_lanes_ready ON queue_lanes (topic, ready_at);
CREATE INDEX queue_lanes_session ON queue_lanes (session, topic, ready_at) WHERE session IS NOT NULL;
CREATE INDEX queue_lanes_parked ON queue_lanes (topic, lane) WHERE parked IS NOT NULL;

-- Tokens come from a sequence, not from the lane's row: a lane that is emptied, deleted and made again must not repeat the token of a
-- lease that a stalled process still holds.
CREATE SEQUENCE queue_epochs;

CREATE TABLE queue_messages (
    lane       text COLLATE "C" NOT NULL,
    id         bigint      GENERATED ALWAYS AS IDENTITY, -- the order within the lane
    uuid       uuid        NOT NULL,
    payload    bytea       NOT NULL,
    metadata   jsonb       NOT NULL,
    attempts   int         NOT NULL DEFAULT 0,           -- attempts that failed
    crashes    int         NOT NULL DEFAULT 0,           -- leases in a row that ran out with this message in hand
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lane, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);

CREATE TABLE queue_dead (
    topic      text COLLATE "C" NOT NULL,
    id         bigint      NOT NULL,
    lane       text COLLATE "C" NOT NULL,
    session    text COLLATE "C",
    uuid       uuid        NOT NULL,
    payload    bytea       NOT NULL,
    metadata   jsonb       NOT NULL,
    attempts   int         NOT NULL,
    crashes    int         NOT NULL,
    last_error text,
    created_at timestamptz NOT NULL,
    died_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, id)
);
CREATE INDEX queue_dead_session ON queue_dead (session) WHERE session IS NOT NULL;

-- Every function expects READ COMMITTED: each of its statements must see what was committed while the one before waited for a lock.

-- queue_publish runs in the caller's transaction, as its last statements. KEY SHARE pins a lane that is already there against deletion
-- until the publisher commits, exactly as a foreign key would; it conflicts neither with other publishers nor with leasing.
-- +goose StatementBegin
CREATE FUNCTION queue_publish(p_topic text, p_lanes text[], p_sessions text[], p_uuids uuid[], p_payloads bytea[], p_metas text[])
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE want text[]; got text[];
BEGIN
  IF cardinality(p_lanes) = 1 THEN  -- most transactions publish one message
    LOOP
      INSERT INTO queue_lanes (lane, topic, session, ready_at) VALUES (p_lanes[1], p_topic, nullif(p_sessions[1], ''), clock_timestamp())
        ON CONFLICT (lane) DO NOTHING;
      EXIT WHEN FOUND;
      PERFORM 1 FROM queue_lanes x WHERE x.lane = p_lanes[1] FOR KEY SHARE;
      EXIT WHEN FOUND;
    END LOOP;
    INSERT INTO queue_messages (lane, uuid, payload, metadata) VALUES (p_lanes[1], p_uuids[1], p_payloads[1], p_metas[1]::jsonb);
    RETURN;
  END IF;
  want := ARRAY(SELECT DISTINCT u COLLATE "C" FROM unnest(p_lanes) AS u ORDER BY 1);
  LOOP
    WITH n AS (
      INSERT INTO queue_lanes (lane, topic, session, ready_at)
      SELECT w.lane, p_topic, nullif(s.session, ''), clock_timestamp()
        FROM unnest(want) WITH ORDINALITY AS w(lane, ord)
        JOIN (SELECT u.lane, min(u.session) AS session FROM unnest(p_lanes, p_sessions) AS u(lane, session) GROUP BY 1) s ON s.lane = w.lane
       ORDER BY w.ord
      ON CONFLICT (lane) DO NOTHING RETURNING lane)
    SELECT array_agg(n.lane) INTO got FROM n;
    EXIT WHEN cardinality(got) = cardinality(want);
    IF got IS NOT NULL THEN want := ARRAY(SELECT w FROM unnest(want) WITH ORDINALITY AS u(w, ord) WHERE w <> ALL (got) ORDER BY ord); END IF;
    got := ARRAY(SELECT l.lane FROM unnest(want) AS k(lane) CROSS JOIN LATERAL (
             SELECT x.lane FROM queue_lanes x WHERE x.lane = k.lane LIMIT 1 FOR KEY SHARE) l);
    EXIT WHEN cardinality(got) = cardinality(want);
    want := ARRAY(SELECT w FROM unnest(want) WITH ORDINALITY AS u(w, ord) WHERE w <> ALL (got) ORDER BY ord);  -- deleted in between: once more
  END LOOP;
  INSERT INTO queue_messages (lane, uuid, payload, metadata)
  SELECT t.lane, t.uuid, t.payload, t.metadata::jsonb
    FROM unnest(p_lanes, p_uuids, p_payloads, p_metas) WITH ORDINALITY AS t(lane, uuid, payload, metadata, ord) ORDER BY t.ord;
END $$;
-- +goose StatementEnd

-- queue_fetch leases up to p_lanes ready lanes and returns up to p_per_lane messages of each (a lane without messages as one row with a
-- NULL id, to be released). With p_claims only lanes of sessions that p_owner claims, and no lease outlives its claim. Without an owner
-- nothing is leased: the row locks of the caller's transaction hold the lanes. The settings pin the plan "array drives, index probes",
-- whatever the statistics of a table that is empty one second and full the next.
--
-- A lane that still names an owner was in somebody's hands when the lease ran out: its first message counts a crash, and is handed out
-- alone from then on, so that the next crash is surely its own. After p_max_crashes the lane is parked (o_parked) instead of leased.
-- +goose StatementBegin
CREATE FUNCTION queue_fetch(p_topic text, p_owner text, p_lanes int, p_per_lane int, p_lease interval, p_claims boolean, p_max_crashes int)
RETURNS TABLE (o_lane text, o_session text, o_epoch bigint, o_left float8, o_parked boolean, o_id bigint, o_uuid uuid, o_payload bytea,
               o_metadata jsonb, o_attempts int, o_crashes int, o_created timestamptz)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE v_now timestamptz := clock_timestamp(); ks text[]; ss text[]; crashed text[]; doomed text[]; es bigint[]; ls float8[];
BEGIN
  IF p_claims THEN
    -- Candidates by age, without a lock. KEY SHARE on their claims lets a takeover (which locks the claim FOR UPDATE) come wholly before
    -- or wholly after this lease: it sees and frees it.
    SELECT array_agg(l.lane), array_agg(DISTINCT l.session) INTO ks, ss FROM (
      SELECT l.lane, l.session FROM claims c CROSS JOIN LATERAL (
        SELECT x.lane, x.session, x.ready_at FROM queue_lanes x
         WHERE x.session = c.session AND x.topic = p_topic AND x.ready_at <= v_now ORDER BY x.ready_at LIMIT p_lanes) l
       WHERE c.owner = p_owner AND c.expires_at > v_now ORDER BY l.ready_at LIMIT p_lanes) l;
    IF ks IS NULL THEN RETURN; END IF;
    ss := ARRAY(SELECT c.session FROM unnest(ss) AS s(session) CROSS JOIN LATERAL (
            SELECT x.session FROM claims x WHERE x.session = s.session AND x.owner = p_owner AND x.expires_at > v_now
             LIMIT 1 FOR KEY SHARE SKIP LOCKED) c);
    SELECT array_agg(l.lane), array_agg(l.lane) FILTER (WHERE l.owner IS NOT NULL) INTO ks, crashed
      FROM unnest(ks) AS k(lane) CROSS JOIN LATERAL (
        SELECT x.lane, x.owner FROM queue_lanes x WHERE x.lane = k.lane AND x.ready_at <= v_now AND x.session = ANY (ss)
         LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) l;
  ELSE
    SELECT array_agg(l.lane), array_agg(l.lane) FILTER (WHERE l.owner IS NOT NULL) INTO ks, crashed FROM (
      SELECT x.lane, x.owner FROM queue_lanes x WHERE x.topic = p_topic AND x.ready_at <= v_now
       ORDER BY x.ready_at LIMIT p_lanes FOR NO KEY UPDATE SKIP LOCKED) l;
  END IF;
  IF ks IS NULL THEN RETURN; END IF;

  IF crashed IS NOT NULL AND p_owner IS NOT NULL THEN
    WITH u AS (
      UPDATE queue_messages SET crashes = crashes + 1
       WHERE ctid = ANY (ARRAY(SELECT m.ctid FROM unnest(crashed) AS k(lane) CROSS JOIN LATERAL (
               SELECT x.ctid FROM queue_messages x WHERE x.lane = k.lane ORDER BY x.id LIMIT 1) m))
      RETURNING lane, crashes)
    SELECT array_agg(u.lane) INTO doomed FROM u WHERE u.crashes >= p_max_crashes;
    IF doomed IS NOT NULL THEN
      UPDATE queue_lanes q SET parked = 'crashes', ready_at = 'infinity', owner = NULL, epoch = nextval('queue_epochs')
       WHERE ctid = ANY (ARRAY(SELECT l.ctid FROM unnest(doomed) AS k(lane) CROSS JOIN LATERAL (
               SELECT x.ctid FROM queue_lanes x WHERE x.lane = k.lane LIMIT 1) l));
      RETURN QUERY SELECT k.lane, m.session, 0::bigint, 0::float8, true, m.id, m.uuid, NULL::bytea, m.metadata, m.attempts, m.crashes, m.created_at
        FROM unnest(doomed) AS k(lane) CROSS JOIN LATERAL (
          SELECT x.*, l.session FROM queue_messages x JOIN queue_lanes l ON l.lane = x.lane WHERE x.lane = k.lane ORDER BY x.id LIMIT 1) m;
      ks := ARRAY(SELECT k FROM unnest(ks) AS k WHERE k <> ALL (doomed));
    END IF;
  END IF;

  IF p_owner IS NULL THEN
    SELECT array_agg(l.lane), array_agg(l.epoch), array_agg(l.session), array_agg(0::float8) INTO ks, es, ss, ls
      FROM unnest(ks) AS k(lane) CROSS JOIN LATERAL (SELECT x.lane, x.epoch, x.session FROM queue_lanes x WHERE x.lane = k.lane LIMIT 1) l;
  ELSE
    WITH u AS (
      UPDATE queue_lanes q SET owner = p_owner, epoch = nextval('queue_epochs'), ready_at = CASE WHEN p_claims
               THEN least(v_now + p_lease, coalesce((SELECT c.expires_at FROM claims c WHERE c.session = q.session AND c.owner = p_owner), v_now))
               ELSE v_now + p_lease END
       WHERE ctid = ANY (ARRAY(SELECT l.ctid FROM unnest(ks) AS k(lane) CROSS JOIN LATERAL (
               SELECT x.ctid FROM queue_lanes x WHERE x.lane = k.lane LIMIT 1) l))
      RETURNING q.lane, q.epoch, q.session, extract(epoch FROM q.ready_at - v_now)::float8 AS remaining)
    SELECT array_agg(u.lane), array_agg(u.epoch), array_agg(u.session), array_agg(u.remaining) INTO ks, es, ss, ls FROM u;
  END IF;

  -- A new statement has a new snapshot: it sees what was published up to now, and what comes later is found at the release.
  RETURN QUERY
    SELECT k.lane, k.session, k.epoch, k.remaining, false, m.id, m.uuid, m.payload, m.metadata, m.attempts, m.crashes, m.created_at
      FROM unnest(ks, es, ss, ls) AS k(lane, epoch, session, remaining)
      LEFT JOIN LATERAL (SELECT x.crashes FROM queue_messages x WHERE x.lane = k.lane ORDER BY x.lane, x.id LIMIT 1) h ON true
      LEFT JOIN LATERAL (SELECT * FROM queue_messages x WHERE x.lane = k.lane
                          ORDER BY x.lane, x.id LIMIT CASE WHEN h.crashes > 0 THEN 1 ELSE p_per_lane END) m ON true;
END $$;
-- +goose StatementEnd

-- queue_complete deletes finished messages and releases lanes: an empty lane is deleted, another is ready again (o_now of them). It never
-- waits for a publisher: a lane that an open publish pins is kept and looked at 10 ms later (o_later); one that is held by the caller's
-- transaction alone (no owner) waits for the wake-up that follows the publish, and is ready. Lanes whose epoch is no longer the
-- caller's are left alone with their messages and returned in o_lost. p_lanes is sorted.
-- +goose StatementBegin
CREATE FUNCTION queue_complete(p_lanes text[], p_epochs bigint[], p_release boolean[], p_mlanes text[], p_mids bigint[])
RETURNS TABLE (o_now int, o_later int, o_lost text[])
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE v_now timestamptz; held text[]; released text[]; hollow text[];
BEGIN
  SELECT array_agg(l.lane), array_agg(l.lane) FILTER (WHERE r.release) INTO held, released
    FROM unnest(p_lanes, p_epochs, p_release) AS r(lane, epoch, release) CROSS JOIN LATERAL (
      SELECT x.lane FROM queue_lanes x WHERE x.lane = r.lane AND x.epoch = r.epoch LIMIT 1 FOR NO KEY UPDATE) l;
  o_now := 0; o_later := 0; o_lost := '{}';
  IF held IS NULL THEN o_lost := p_lanes;
  ELSIF cardinality(held) < cardinality(p_lanes) THEN o_lost := ARRAY(SELECT l FROM unnest(p_lanes) AS l WHERE l <> ALL (held)); END IF;
  DELETE FROM queue_messages WHERE ctid = ANY (ARRAY(
    SELECT m.ctid FROM unnest(p_mlanes, p_mids) AS d(lane, id) CROSS JOIN LATERAL (
      SELECT x.ctid FROM queue_messages x WHERE x.lane = d.lane AND x.id = d.id LIMIT 1) m
     WHERE d.lane <> ALL (o_lost)));
  IF released IS NOT NULL THEN
    -- FOR UPDATE conflicts with KEY SHARE: once it is had, no publish is in flight for that lane.
    hollow := ARRAY(SELECT l.lane FROM unnest(released) AS r(lane) CROSS JOIN LATERAL (
      SELECT x.lane FROM queue_lanes x WHERE x.lane = r.lane AND NOT EXISTS (SELECT 1 FROM queue_messages m WHERE m.lane = r.lane)
       LIMIT 1 FOR UPDATE OF x SKIP LOCKED) l);
    -- A new snapshot: what was committed before the lock is visible now.
    IF cardinality(hollow) > 0 THEN
      DELETE FROM queue_lanes WHERE ctid = ANY (ARRAY(SELECT l.ctid FROM unnest(hollow) AS k(lane) CROSS JOIN LATERAL (
        SELECT x.ctid FROM queue_lanes x WHERE x.lane = k.lane
           AND NOT EXISTS (SELECT 1 FROM queue_messages m WHERE m.lane = k.lane) LIMIT 1) l));
    END IF;
    v_now := clock_timestamp();
    WITH u AS (
      UPDATE queue_lanes w SET owner = NULL, ready_at = v_now +
             CASE WHEN owner IS NULL OR EXISTS (SELECT 1 FROM queue_messages m WHERE m.lane = w.lane) THEN interval '0' ELSE interval '10 ms' END
       WHERE ctid = ANY (ARRAY(SELECT l.ctid FROM unnest(released) AS r(lane) CROSS JOIN LATERAL (
               SELECT x.ctid FROM queue_lanes x WHERE x.lane = r.lane LIMIT 1) l))
      RETURNING ready_at = v_now AS again)
    SELECT count(*) FILTER (WHERE u.again), count(*) FILTER (WHERE NOT u.again) INTO o_now, o_later FROM u;
  END IF;
  RETURN NEXT;
END $$;
-- +goose StatementEnd

-- queue_heartbeat renews leases and returns the lanes that are still the caller's, with the seconds each lease has left. p_lanes is sorted.
-- +goose StatementBegin
CREATE FUNCTION queue_heartbeat(p_owner text, p_lanes text[], p_epochs bigint[], p_lease interval, p_claims boolean)
RETURNS TABLE (o_lane text, o_left float8)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE held tid[]; v_now timestamptz;
BEGIN
  held := ARRAY(SELECT l.ctid FROM unnest(p_lanes, p_epochs) AS r(lane, epoch) CROSS JOIN LATERAL (
    SELECT x.ctid FROM queue_lanes x WHERE x.lane = r.lane AND x.epoch = r.epoch AND x.owner = p_owner LIMIT 1 FOR NO KEY UPDATE) l);
  v_now := clock_timestamp();
  IF p_claims THEN
    RETURN QUERY UPDATE queue_lanes q SET ready_at = least(v_now + p_lease, c.expires_at) FROM claims c
      WHERE q.ctid = ANY (held) AND c.session = q.session AND c.owner = p_owner AND c.expires_at > v_now
      RETURNING q.lane, extract(epoch FROM q.ready_at - v_now)::float8;
  ELSE
    RETURN QUERY UPDATE queue_lanes q SET ready_at = v_now + p_lease WHERE q.ctid = ANY (held)
      RETURNING q.lane, extract(epoch FROM q.ready_at - v_now)::float8;
  END IF;
END $$;
-- +goose StatementEnd

-- queue_retry ends a lease after an attempt that did not succeed. Strict, the whole lane waits; relaxed, the message moves to a lane of its
-- own and the lease goes on; a message that is alone in its lane already waits there. p_attempts is 1 for a failure, 0 for a mere wait.
-- A handler that came back did not crash. False: the lease is no longer the caller's, nothing was changed.
-- +goose StatementBegin
CREATE FUNCTION queue_retry(p_lane text, p_epoch bigint, p_id bigint, p_delay interval, p_attempts int, p_error text, p_strict boolean)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE apart text := p_lane || '#' || p_id;
BEGIN
  PERFORM 1 FROM queue_lanes WHERE lane = p_lane AND epoch = p_epoch FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE queue_messages SET attempts = attempts + p_attempts, crashes = 0, last_error = coalesce(p_error, last_error)
   WHERE lane = p_lane AND id = p_id;
  IF p_strict OR strpos(p_lane, '#') > 0 THEN
    UPDATE queue_lanes SET ready_at = clock_timestamp() + p_delay, owner = NULL WHERE lane = p_lane;
  ELSE
    INSERT INTO queue_lanes (lane, topic, session, ready_at)
    SELECT apart, topic, session, clock_timestamp() + p_delay FROM queue_lanes WHERE lane = p_lane;
    UPDATE queue_messages SET lane = apart WHERE lane = p_lane AND id = p_id;
  END IF;
  RETURN true;
END $$;
-- +goose StatementEnd

-- queue_kill moves a message to the dead letters; the lease goes on. p_error is why.
-- +goose StatementBegin
CREATE FUNCTION queue_kill(p_lane text, p_epoch bigint, p_id bigint, p_error text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_topic text; v_session text;
BEGIN
  SELECT topic, session INTO v_topic, v_session FROM queue_lanes WHERE lane = p_lane AND epoch = p_epoch FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  WITH d AS (DELETE FROM queue_messages WHERE lane = p_lane AND id = p_id RETURNING *)
  INSERT INTO queue_dead (topic, id, lane, session, uuid, payload, metadata, attempts, crashes, last_error, created_at)
  SELECT v_topic, d.id, d.lane, v_session, d.uuid, d.payload, d.metadata, d.attempts + 1, d.crashes, p_error, d.created_at FROM d;
  RETURN true;
END $$;
-- +goose StatementEnd

-- queue_park ends a lease without an attempt. The lane waits for queue_ready, or is ready at once when p_ready.
-- +goose StatementBegin
CREATE FUNCTION queue_park(p_lane text, p_epoch bigint, p_id bigint, p_ready boolean) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE queue_lanes SET owner = NULL, parked = CASE WHEN p_ready THEN NULL ELSE 'session' END,
         ready_at = CASE WHEN p_ready THEN clock_timestamp() ELSE 'infinity' END
   WHERE lane = p_lane AND epoch = p_epoch;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE queue_messages SET crashes = 0 WHERE lane = p_lane AND id = p_id AND crashes > 0;
  RETURN true;
END $$;
-- +goose StatementEnd

-- queue_ready makes the lanes ready that queue_park set aside for a session.
CREATE FUNCTION queue_ready(p_topic text, p_session text) RETURNS void LANGUAGE sql VOLATILE AS $$
  UPDATE queue_lanes q SET parked = NULL, ready_at = clock_timestamp() FROM (
    SELECT lane FROM queue_lanes WHERE session = p_session AND topic = p_topic AND ready_at = 'infinity' AND parked = 'session'
     ORDER BY lane FOR NO KEY UPDATE) l
   WHERE q.lane = l.lane
$$;

-- queue_free_session and queue_free_owner end leases early and fence them. The owner's name stays, as it does when a lease runs out: the
-- next fetch then counts a crash of the message in hand, else one that kills every process would be handed on for ever.
CREATE FUNCTION queue_free_session(p_session text) RETURNS void LANGUAGE sql VOLATILE AS $$
  UPDATE queue_lanes q SET ready_at = clock_timestamp(), epoch = nextval('queue_epochs') FROM (
    SELECT lane FROM queue_lanes WHERE session = p_session AND owner IS NOT NULL ORDER BY lane FOR NO KEY UPDATE) l
   WHERE q.lane = l.lane
$$;

CREATE FUNCTION queue_free_owner(p_owner text) RETURNS void LANGUAGE sql VOLATILE AS $$
  UPDATE queue_lanes q SET ready_at = clock_timestamp(), epoch = nextval('queue_epochs') FROM (
    SELECT lane FROM queue_lanes WHERE owner = p_owner ORDER BY lane FOR NO KEY UPDATE) l
   WHERE q.lane = l.lane
$$;

-- queue_delete_session removes everything of a session.
-- +goose StatementBegin
CREATE FUNCTION queue_delete_session(p_session text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE ks text[];
BEGIN
  ks := ARRAY(SELECT lane FROM queue_lanes WHERE session = p_session ORDER BY lane FOR UPDATE);
  DELETE FROM queue_messages WHERE lane = ANY (ks);
  DELETE FROM queue_lanes WHERE lane = ANY (ks);
  DELETE FROM queue_dead WHERE session = p_session;
END $$;
-- +goose StatementEnd

-- queue_resume gives a dead letter, or the message that parked its lane by crashing, another life: attempts and crashes start again, and it
-- stands where it stood, before everything of its lane that was published after it. False: there is none of that id.
-- +goose StatementBegin
CREATE FUNCTION queue_resume(p_topic text, p_id bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE d queue_dead; v_lane text;
BEGIN
  DELETE FROM queue_dead WHERE topic = p_topic AND id = p_id RETURNING * INTO d;
  IF FOUND THEN
    LOOP
      INSERT INTO queue_lanes (lane, topic, session, ready_at) VALUES (d.lane, d.topic, d.session, clock_timestamp()) ON CONFLICT (lane) DO NOTHING;
      EXIT WHEN FOUND;
      PERFORM 1 FROM queue_lanes WHERE lane = d.lane FOR KEY SHARE;
      EXIT WHEN FOUND;
    END LOOP;
    INSERT INTO queue_messages (lane, id, uuid, payload, metadata, last_error, created_at) OVERRIDING SYSTEM VALUE
    VALUES (d.lane, d.id, d.uuid, d.payload, d.metadata, d.last_error, d.created_at);
    RETURN true;
  END IF;
  SELECT l.lane INTO v_lane FROM queue_lanes l JOIN queue_messages m ON m.lane = l.lane
   WHERE l.topic = p_topic AND l.parked = 'crashes' AND m.id = p_id FOR NO KEY UPDATE OF l;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE queue_lanes SET parked = NULL, ready_at = clock_timestamp() WHERE lane = v_lane;
  UPDATE queue_messages SET attempts = 0, crashes = 0 WHERE lane = v_lane AND id = p_id;
  RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION queue_publish(text, text[], text[], uuid[], bytea[], text[]), queue_fetch(text, text, int, int, interval, boolean, int),
    queue_complete(text[], bigint[], boolean[], text[], bigint[]), queue_heartbeat(text, text[], bigint[], interval, boolean),
    queue_retry(text, bigint, bigint, interval, int, text, boolean), queue_kill(text, bigint, bigint, text),
    queue_park(text, bigint, bigint, boolean), queue_ready(text, text), queue_free_session(text), queue_free_owner(text),
    queue_delete_session(text), queue_resume(text, bigint);
DROP TABLE queue_dead, queue_messages, queue_lanes;
DROP SEQUENCE queue_epochs;
