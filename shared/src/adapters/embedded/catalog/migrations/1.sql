-- The last sequence number of each collection: grows by one per write, never falls.
CREATE TABLE sequences (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- One row that a health check writes.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    checks INTEGER NOT NULL
);

CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    asin TEXT NOT NULL UNIQUE,
    seq_no INTEGER NOT NULL,
    title_key TEXT,
    brand_key TEXT,
    category_key TEXT,
    first_seen INTEGER NOT NULL,
    last_updated INTEGER NOT NULL,
    last_priced_at INTEGER,
    price_us INTEGER,
    price_uk INTEGER,
    price_de INTEGER,
    price_fr INTEGER,
    price_jp INTEGER,
    price_ca INTEGER,
    price_it INTEGER,
    price_es INTEGER,
    price_in INTEGER,
    price_mx INTEGER,
    price_br INTEGER,
    words TEXT NOT NULL
);
CREATE INDEX products_by_title ON products (title_key IS NULL, title_key, asin);
CREATE INDEX products_by_brand ON products (brand_key) WHERE brand_key IS NOT NULL;
CREATE INDEX products_by_category ON products (category_key) WHERE category_key IS NOT NULL;
CREATE INDEX products_by_first_seen ON products (first_seen);
CREATE INDEX products_by_last_updated ON products (last_updated);

CREATE TABLE product_documents (
    id INTEGER PRIMARY KEY,
    document TEXT NOT NULL
);

-- Words are folded before they come here: split at spaces is all that is left to do.
CREATE VIRTUAL TABLE product_words USING fts5 (
    words, content = 'products', content_rowid = 'id', tokenize = 'ascii', detail = none, columnsize = 0
);
CREATE TRIGGER products_inserted AFTER INSERT ON products BEGIN
    INSERT INTO product_words (rowid, words) VALUES (new.id, new.words);
END;
CREATE TRIGGER products_words_changed AFTER UPDATE OF words ON products WHEN old.words <> new.words BEGIN
    INSERT INTO product_words (product_words, rowid, words) VALUES ('delete', old.id, old.words);
    INSERT INTO product_words (rowid, words) VALUES (new.id, new.words);
END;

CREATE TABLE opportunities (
    id INTEGER PRIMARY KEY,
    opportunity TEXT NOT NULL UNIQUE,
    seq_no INTEGER NOT NULL,
    asin TEXT NOT NULL,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    brand_key TEXT,
    category_key TEXT,
    is_active INTEGER NOT NULL,
    oldest_leg_at INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    margin_percentage INTEGER NOT NULL,
    margin INTEGER NOT NULL,
    source_price_eur INTEGER NOT NULL,
    target_price_eur INTEGER NOT NULL
);
CREATE INDEX opportunities_by_asin ON opportunities (asin);
CREATE INDEX opportunities_by_margin ON opportunities (is_active, margin_percentage DESC);

CREATE TABLE opportunity_documents (
    id INTEGER PRIMARY KEY,
    document TEXT NOT NULL
);

-- All state collections; `kind` names the collection.
CREATE TABLE states (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    record TEXT NOT NULL,
    seq_no INTEGER NOT NULL,
    belongs_to TEXT,
    status TEXT,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, record)
);
CREATE INDEX states_by_time ON states (kind, at, record);
