-- What the token types before each passcode (OATH token identifier); none if it types passcodes only.
ALTER TABLE credentials ADD COLUMN token_identifier TEXT;
