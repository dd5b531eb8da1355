DELETE FROM loginfailures;
