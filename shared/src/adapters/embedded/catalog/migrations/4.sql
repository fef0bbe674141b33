-- What opportunities are searched and ordered by beside numbers. Those written before have what their article has.
ALTER TABLE opportunities ADD COLUMN title_key TEXT;
ALTER TABLE opportunities ADD COLUMN words TEXT NOT NULL DEFAULT '';
UPDATE opportunities SET
    title_key = (SELECT p.title_key FROM products p WHERE p.asin = opportunities.asin),
    words = ifnull((SELECT p.words FROM products p WHERE p.asin = opportunities.asin), '');

CREATE VIRTUAL TABLE opportunity_words USING fts5 (
    words, content = 'opportunities', content_rowid = 'id', tokenize = 'ascii', detail = none, columnsize = 0
);
INSERT INTO opportunity_words (rowid, words) SELECT id, words FROM opportunities;
CREATE TRIGGER opportunities_inserted AFTER INSERT ON opportunities BEGIN
    INSERT INTO opportunity_words (rowid, words) VALUES (new.id, new.words);
END;
CREATE TRIGGER opportunities_words_changed AFTER UPDATE OF words ON opportunities WHEN old.words <> new.words BEGIN
    INSERT INTO opportunity_words (opportunity_words, rowid, words) VALUES ('delete', old.id, old.words);
    INSERT INTO opportunity_words (rowid, words) VALUES (new.id, new.words);
END;
