-- Version 1. An account is a phone number; its private keys are those of its phone, which is device 0.
CREATE TABLE sandbox.accounts (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone            text        NOT NULL UNIQUE CHECK (phone ~ '^[1-9][0-9]{6,14}$'),
    lid              text        NOT NULL UNIQUE CHECK (lid ~ '^[0-9]{15}$'),
    name             text        NOT NULL,
    status           text        NOT NULL DEFAULT '',
    privacy          jsonb       NOT NULL DEFAULT '{}',
    raw_id           bigint      NOT NULL,
    next_device      int         NOT NULL DEFAULT 1,
    identity_private bytea       NOT NULL CHECK (length(identity_private) = 32),
    noise_private    bytea       NOT NULL CHECK (length(noise_private) = 32),
    prekey_private   bytea       NOT NULL CHECK (length(prekey_private) = 32),
    prekey_id        bigint      NOT NULL,
    prekey_signature bytea       NOT NULL CHECK (length(prekey_signature) = 64),
    created_at       timestamptz NOT NULL
);

-- proof is the companion's ADVSignedDeviceIdentity as both sides signed it; the phone has none.
CREATE TABLE sandbox.devices (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id       bigint NOT NULL REFERENCES sandbox.accounts (id),
    number           int    NOT NULL CHECK (number BETWEEN 0 AND 255),
    identity         bytea  NOT NULL CHECK (length(identity) = 32),
    noise            bytea  NOT NULL CHECK (length(noise) = 32),
    registration_id  bigint NOT NULL,
    signed_id        bigint NOT NULL,
    signed_public    bytea  NOT NULL CHECK (length(signed_public) = 32),
    signed_signature bytea  NOT NULL CHECK (length(signed_signature) = 64),
    proof            bytea,
    UNIQUE (account_id, number)
);

-- The one-time prekeys that a device uploaded and nobody fetched.
CREATE TABLE sandbox.prekeys (
    device_id bigint NOT NULL REFERENCES sandbox.devices (id) ON DELETE CASCADE,
    key_id    bigint NOT NULL,
    public    bytea  NOT NULL CHECK (length(public) = 32),
    PRIMARY KEY (device_id, key_id)
);

-- What a device has not acknowledged, oldest first. No foreign key: it would lock the device's row in every message's transaction; what a
-- removed device leaves behind is swept at the next start, and ids are never given twice.
CREATE TABLE sandbox.queue (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id bigint NOT NULL,
    class     text   NOT NULL CHECK (class IN ('message', 'receipt', 'notification')),
    key       text   NOT NULL,
    stanza    bytea  NOT NULL
);
CREATE INDEX queue_device ON sandbox.queue (device_id, id);

-- The ids that were routed, to count those that come again.
CREATE TABLE sandbox.sent (
    device_id  bigint      NOT NULL,
    recipient  text        NOT NULL,
    message_id text        NOT NULL,
    sent_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, recipient, message_id)
);

-- Who has an account's device list in its cache and must hear of a change.
CREATE TABLE sandbox.watchers (
    account_id bigint NOT NULL REFERENCES sandbox.accounts (id),
    device_id  bigint NOT NULL REFERENCES sandbox.devices (id) ON DELETE CASCADE,
    PRIMARY KEY (account_id, device_id)
);
CREATE INDEX watchers_device ON sandbox.watchers (device_id);

-- App state: the patches of each collection, which only the devices can read; the newest version is the collection's.
CREATE TABLE sandbox.app_state (
    account_id bigint NOT NULL REFERENCES sandbox.accounts (id),
    collection text   NOT NULL,
    version    bigint NOT NULL,
    patch      bytea  NOT NULL,
    PRIMARY KEY (account_id, collection, version)
);
